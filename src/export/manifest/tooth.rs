//! Teeth and bridges of a manifest.
//!
//! A number that is read wrongly is a crown for another tooth. So what is not a number of the American
//! way (1 to 32) stays text, beside what it says.

use super::super::xml::Element;
use super::defines::CodeTables;
use crate::key::same_key;
use crate::model::{self, Tooth};

/// The teeth, each with the number of the bridge that it is of. Attributes are taken out of the
/// section, elements in a tooth stay, with the tooth's number beside them.
pub(super) fn teeth(section: &mut Element, defines: &CodeTables) -> Vec<(Tooth, Option<String>)> {
    let teeth = section.children.iter_mut();
    teeth.map(|element| tooth(element, defines)).collect()
}

fn tooth(element: &mut Element, defines: &CodeTables) -> (Tooth, Option<String>) {
    let ada_id = element.take(&["adaid"]);
    let attributes = std::mem::take(&mut element.attributes);
    let mut attributes_of_bridge = attributes.iter();
    let bridge = attributes_of_bridge.find(|(name, _)| same_key(name, "bridgeid"));
    // The code as it is written, before `resolve` could replace it by a name: bridges are matched
    // by it.
    let bridge = bridge.map(|(_, code)| code.clone());
    let number = ada_id.as_deref().and_then(model::tooth_number);
    let fields = attributes.into_iter().map(|(name, code)| {
        let value = defines.resolve(&name, code);
        (name, value)
    });
    // A number that cannot be read stays visible as a field.
    let unread = ada_id.clone().filter(|_| number.is_none());
    let unread = unread.map(|id| ("AdaId".to_owned(), id));
    let tooth = Tooth {
        number,
        fields: unread.into_iter().chain(fields).collect(),
    };
    // What stays in the section must say which tooth it is of.
    if !element.is_empty() {
        element.put_back("AdaId", ada_id);
    }
    (tooth, bridge)
}

/// The teeth that each bridge goes over; where the bridge names none, those that name it. What else is
/// said of a bridge stays.
pub(super) fn bridges(
    section: &mut Element,
    defines: &CodeTables,
    teeth: &[(Tooth, Option<String>)],
) -> Vec<Vec<u8>> {
    let bridges = section.children.iter_mut();
    bridges
        .map(|element| bridge(element, defines, teeth))
        .collect()
}

fn bridge(
    element: &mut Element,
    defines: &CodeTables,
    teeth: &[(Tooth, Option<String>)],
) -> Vec<u8> {
    let id = element.take(&["id", "bridgeid"]);
    let kind = element.take(&["type", "bridgetype"]);
    let ends = ["FromAdaId", "ToAdaId"].map(|name| {
        let id = element.take(&[&name.to_ascii_lowercase()]);
        let number = id.as_deref().and_then(model::tooth_number);
        // What is no tooth must not be lost.
        element.put_back(name, id.filter(|_| number.is_none()));
        number
    });
    // Both ends name a range; one end alone names only itself. What goes from jaw to jaw is no bridge,
    // and nothing is added between its ends.
    let mut over = match ends {
        [Some(from), Some(to)] => model::teeth_between(from, to).unwrap_or_else(|| vec![from, to]),
        ends => ends.into_iter().flatten().collect(),
    };
    collect(element, &mut over);
    if over.is_empty() && id.is_some() {
        let members = teeth.iter().filter(|(_, bridge)| *bridge == id);
        over = members.filter_map(|(tooth, _)| tooth.number()).collect();
    }
    element.put_back("Type", kind.map(|code| defines.resolve("BridgeType", code)));
    element.put_back("Id", id);
    over
}

fn collect(element: &Element, teeth: &mut Vec<u8>) {
    let attributes = element.attributes.iter();
    let ids = attributes.filter(|(key, _)| same_key(key, "adaid"));
    teeth.extend(ids.filter_map(|(_, id)| model::tooth_number(id)));
    if element.is("adaid") {
        teeth.extend(model::tooth_number(&element.text));
    }
    // Recursion ends: the parser limits the depth to 256.
    for child in &element.children {
        collect(child, teeth);
    }
}
