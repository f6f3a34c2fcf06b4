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
    teeth: Vec<u8>,
    extra: Element,
}

impl Bridge {
    pub(super) fn read(element: Element) -> Self {
        let mut teeth = Vec::new();
        collect(&element, &mut teeth);
        Bridge {
            teeth,
            extra: element,
        }
    }

    /// The teeth it goes over, in the manifest's order: each `AdaId` in it. Model: the form of
    /// bridges is not known well.
    #[must_use]
    pub fn teeth(&self) -> &[u8] {
        &self.teeth
    }

    /// The element as a whole.
    #[must_use]
    pub fn extra(&self) -> &Element {
        &self.extra
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
