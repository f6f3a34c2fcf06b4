//! The code tables that a manifest brings along.

use super::super::xml::Element;

/// A value that may be a code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coded {
    code: String,
    name: Option<String>,
}

impl Coded {
    /// What stands in the manifest: a number, or a name already.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What the manifest's own tables call it, if they have it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name, or else the code.
    #[must_use]
    pub fn text(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.code)
    }
}

/// `RxDefines`: a table for each element in it, a row for each element in that.
///
/// The form of rows is our model: the code is the attribute or element `Id`, `Code`, `Value` or
/// `Key`, and the name is `Name`, `Text`, `Description` or `DisplayName`, or else the row's own
/// text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Defines {
    tables: Vec<Table>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    key: String,
    rows: Vec<(String, String)>,
}

impl Defines {
    pub(super) fn read(element: Option<Element>) -> Self {
        let tables = element.map(|element| element.children).unwrap_or_default();
        let tables = tables.into_iter().map(|table| Table {
            key: key(&table.name),
            rows: table.children.into_iter().filter_map(row).collect(),
        });
        Defines {
            tables: tables.collect(),
        }
    }

    /// What a field's value is called.
    pub(super) fn resolve(&self, field: &str, code: String) -> Coded {
        let field = key(field);
        let exact = self.tables.iter().filter(|table| table.key == field);
        let longer = self
            .tables
            .iter()
            .filter(|table| table.key != field && !field.is_empty() && table.key.ends_with(&field));
        let mut rows = exact.chain(longer).flat_map(|table| &table.rows);
        let name = rows.find(|(row, _)| row.eq_ignore_ascii_case(&code));
        let name = name.map(|(_, name)| name.clone());
        Coded { code, name }
    }
}

fn row(mut row: Element) -> Option<(String, String)> {
    let code = row.take(&["id", "code", "value", "key"])?;
    let name = row.take(&["name", "text", "description", "displayname"]);
    let own = || Some(row.text.trim().to_owned()).filter(|text| !text.is_empty());
    Some((code, name.or_else(own)?))
}

/// A field and its table are named alike: `JawId` and `Jaws`, `ObjectType` and `ObjectTypes`.
fn key(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let lower: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    let mut key = lower.strip_suffix('s').unwrap_or(&lower);
    for suffix in ["id", "code", "type"] {
        key = key
            .strip_suffix(suffix)
            .filter(|rest| !rest.is_empty())
            .unwrap_or(key);
    }
    key.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_tables_find_each_other() {
        for (field, table) in [
            ("JawId", "Jaws"),
            ("JawID", "JawIds"),
            ("Jaw", "JawTypes"),
            ("ObjectType", "ObjectTypes"),
            ("ShadeSystem", "ShadeSystems"),
            ("Id", "Id"),
        ] {
            assert_eq!(key(field), key(table), "{field}");
        }
    }
}
