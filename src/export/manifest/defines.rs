//! The code tables that a manifest brings along.
//!
//! *Problem.* Fields hold codes, and each manifest has its own tables of what the codes mean. No
//! rule says which table is a field's.
//!
//! *Approach.* Names that match exactly, but for case, signs and a plural, and a short list of
//! exceptions. A code must not be looked up in a table that only looks similar: a wrong material is
//! worse than a code.

use super::super::xml::Element;

/// `RxDefines`: a table for each element in it, a row for each element in that.
///
/// The form of rows is our model: the code is the attribute or element `Id`, `Code`, `Value` or
/// `Key`, and the name is `Name`, `Text`, `Description` or `DisplayName`, or else the row's own
/// text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CodeTables {
    tables: Vec<Table>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    key: String,
    rows: Vec<(String, String)>,
}

impl CodeTables {
    pub(super) fn read(element: Option<Element>) -> Self {
        let tables = element.map(|element| element.children).unwrap_or_default();
        let tables = tables.into_iter().map(|table| Table {
            key: key(&table.name),
            rows: table.children.into_iter().filter_map(row).collect(),
        });
        CodeTables {
            tables: tables.collect(),
        }
    }

    /// What a field's value is called by the field's own table; else the value itself. That a table's
    /// name merely ends alike says nothing: `BridgeID` is the number of a bridge, and
    /// `BridgeTypes` are no numbers of bridges.
    pub(super) fn resolve(&self, field: &str, code: String) -> String {
        let keys = keys(field);
        let mut tables = keys.iter().flat_map(|key| {
            let tables = self.tables.iter();
            tables.filter(move |table| table.key == *key)
        });
        let name = tables.find_map(|table| {
            let mut rows = table.rows.iter();
            let row = rows.find(|(row, _)| row.eq_ignore_ascii_case(&code));
            row.map(|(_, name)| name.clone())
        });
        // A code that no table knows is returned as it is: the lab may know it.
        name.unwrap_or(code)
    }
}

fn row(mut row: Element) -> Option<(String, String)> {
    let code = row.take(&["id", "code", "value", "key"])?;
    let name = row.take(&["name", "text", "description", "displayname"]);
    let own = || Some(row.text.trim().to_owned()).filter(|text| !text.is_empty());
    // A row without a name explains nothing.
    Some((code, name.or_else(own)?))
}

/// Fields that are not called as their tables are, as seen in exports: `ToothMaterial` is
/// looked up in `Materials`.
const TABLES: &[(&str, &[&str])] = &[
    ("toothmaterial", &["material"]),
    ("typeinbridge", &["toothinbridgetype"]),
    ("jawid", &["jaw", "jawtype"]),
    ("jaw", &["jawid", "jawtype"]),
    ("casetypename", &["casetype"]),
];

/// The tables of a field, the one with its own name first.
fn keys(field: &str) -> Vec<String> {
    let key = key(field);
    let others = TABLES.iter().find(|(field, _)| *field == key);
    let others = others.map(|(_, tables)| *tables).unwrap_or_default();
    let others: Vec<_> = others.iter().map(|&table| table.to_owned()).collect();
    [vec![key], others].concat()
}

/// A field and its table are named alike: `ObjectType` and `ObjectTypes`.
fn key(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let lower: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    lower.strip_suffix('s').unwrap_or(&lower).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_tables_find_each_other() {
        for (field, table, found) in [
            ("JawId", "Jaws", true),
            ("JawID", "JawIds", true),
            ("Jaw", "JawTypes", true),
            ("ObjectType", "ObjectTypes", true),
            ("ShadeSystem", "ShadeSystems", true),
            ("ToothMaterial", "Materials", true),
            ("TypeInBridge", "ToothInBridgeTypes", true),
            ("Id", "Id", true),
            ("BridgeID", "BridgeTypes", false),
            ("BridgeID", "Bridges", false),
            ("ImplantMaterial", "Materials", false),
            ("Type", "ObjectTypes", false),
            ("PrepType", "Preps", false),
        ] {
            let keys = keys(field);
            assert_eq!(keys.contains(&key(table)), found, "{field} {table}");
        }
    }
}
