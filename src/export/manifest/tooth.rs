//! Teeth and bridges of a prescription.

use std::fmt;

use super::super::xml::Element;
use super::defines::{Coded, Defines};
use crate::key::same_key;

/// A tooth that the prescription is about.
#[derive(Clone, PartialEq, Eq)]
pub struct Tooth {
    ada_id: Option<String>,
    fields: Vec<(String, Coded)>,
    extra: Element,
}

impl Tooth {
    pub(super) fn read(mut element: Element, defines: &Defines) -> Self {
        let ada_id = element.take(&["adaid"]);
        let attributes = std::mem::take(&mut element.attributes);
        let fields = attributes.into_iter().map(|(name, code)| {
            let value = defines.resolve(&name, code);
            (name, value)
        });
        Tooth {
            ada_id,
            fields: fields.collect(),
            extra: element,
        }
    }

    /// Its number, 1 to 32 in the American way.
    #[must_use]
    pub fn number(&self) -> Option<u8> {
        number(self.ada_id.as_deref()?)
    }

    /// Its number as it stands there.
    #[must_use]
    pub fn ada_id(&self) -> Option<&str> {
        self.ada_id.as_deref()
    }

    /// The other attributes by their names, such as what is made of which material. Which
    /// there are depends on the version and on the procedure.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Coded)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// One of them; the spelling of the name does not matter.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Coded> {
        let name: String = name.chars().filter(|c| !matches!(c, '_' | '-')).collect();
        let name = name.to_ascii_lowercase();
        let mut fields = self.fields.iter();
        let found = fields.find(|(key, _)| same_key(key, &name));
        found.map(|(_, value)| value)
    }

    /// What is in the element besides.
    #[must_use]
    pub fn extra(&self) -> &Element {
        &self.extra
    }
}

/// The names of its fields, and no values: some are free text.
impl fmt::Debug for Tooth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        f.debug_struct("Tooth")
            .field("ada_id", &self.ada_id)
            .field("fields", &fields)
            .finish_non_exhaustive()
    }
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    id: Option<String>,
    bridge_type: Option<Coded>,
    teeth: Vec<u8>,
    extra: Element,
}

impl Bridge {
    /// `teeth` are those of the prescription: where the bridge names none, those that name it.
    pub(super) fn read(mut element: Element, defines: &Defines, teeth: &[Tooth]) -> Self {
        let id = element.take(&["id", "bridgeid"]);
        let bridge_type = element.take(&["type", "bridgetype"]);
        let ends = [element.take(&["fromadaid"]), element.take(&["toadaid"])];
        let ends = ends.map(|end| end.as_deref().and_then(number));
        let mut over = match ends {
            [Some(from), Some(to)] => between(from, to),
            ends => ends.into_iter().flatten().collect(),
        };
        collect(&element, &mut over);
        if over.is_empty() && id.is_some() {
            let of_bridge = |tooth: &&Tooth| {
                let bridge = tooth.field("bridgeid").map(Coded::code);
                bridge == id.as_deref()
            };
            let members = teeth.iter().filter(of_bridge);
            over = members.filter_map(Tooth::number).collect();
        }
        Bridge {
            bridge_type: bridge_type.map(|code| defines.resolve("BridgeType", code)),
            id,
            teeth: over,
            extra: element,
        }
    }

    /// What teeth call it in their field `BridgeID`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What kind of bridge it is.
    #[must_use]
    pub fn bridge_type(&self) -> Option<&Coded> {
        self.bridge_type.as_ref()
    }

    /// The teeth it goes over: from `FromAdaId` to `ToAdaId`, and each `AdaId` in it; where there
    /// are none, the teeth of the prescription whose `BridgeID` it is. Seen in exports, not
    /// documented.
    #[must_use]
    pub fn teeth(&self) -> &[u8] {
        &self.teeth
    }

    /// What no field took.
    #[must_use]
    pub fn extra(&self) -> &Element {
        &self.extra
    }
}

/// The teeth from one to another, of the same jaw: 1 to 16 are the upper ones. What goes from
/// jaw to jaw is no bridge, and nothing is added between its ends.
fn between(from: u8, to: u8) -> Vec<u8> {
    if (from <= 16) != (to <= 16) {
        return vec![from, to];
    }
    if from <= to {
        (from..=to).collect()
    } else {
        (to..=from).rev().collect()
    }
}

fn collect(element: &Element, teeth: &mut Vec<u8>) {
    let attributes = element.attributes.iter();
    let ids = attributes.filter(|(key, _)| same_key(key, "adaid"));
    teeth.extend(ids.filter_map(|(_, id)| number(id)));
    if element.is("adaid") {
        teeth.extend(number(&element.text));
    }
    for child in &element.children {
        collect(child, teeth);
    }
}

pub(super) fn number(ada_id: &str) -> Option<u8> {
    let number = ada_id.trim().parse().ok()?;
    (1..=32).contains(&number).then_some(number)
}
