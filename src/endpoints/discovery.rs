//! What Discovery says, and the endpoints that result from it.

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use super::{Endpoint, Endpoints, Operation, Source};
use crate::error::{Error, Result};

/// The endpoints in force: those configured, with Discovery's last good answer laid over them.
#[derive(Debug)]
pub(crate) struct Directory {
    configured: Endpoints,
    current: RwLock<Arc<Endpoints>>,
}

impl Directory {
    pub(crate) fn new(configured: Endpoints) -> Self {
        let current = RwLock::new(Arc::new(configured.clone()));
        Directory {
            configured,
            current,
        }
    }

    pub(crate) fn current(&self) -> Arc<Endpoints> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    pub(crate) fn resolve(&self, operation: Operation) -> Result<Endpoint> {
        self.current().resolve(operation).cloned()
    }

    /// Takes over what Discovery answered. An answer that cannot be read changes nothing.
    pub(crate) fn update(&self, answer: &[u8]) -> Result<()> {
        let discovered = read(answer, &self.configured)?;
        let merged = Arc::new(self.configured.overridden_by(&discovered));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = merged;
        Ok(())
    }
}

/// Reads Discovery's answer. Its form is not documented; convention: an object that maps names
/// of services to URLs, or has one under `endpoints`, in the forms of [`Endpoints::from_json`].
/// Names that this release does not know are passed over.
pub(crate) fn read(answer: &[u8], configured: &Endpoints) -> Result<Endpoints> {
    let wrong = |what: &str| Error::decode(what).with_operation(Operation::Discovery.title());
    let value = serde_json::from_slice(answer)
        .map_err(|error| wrong("it is not JSON").with_source(error))?;
    let Value::Object(object) = value else {
        return Err(wrong("it is no object"));
    };
    let inner = object.iter().find_map(|(key, value)| match value {
        Value::Object(inner) if crate::model::lenient::same_key(key, "endpoints") => Some(inner),
        _ => None,
    });
    let mut endpoints = Endpoints {
        base_url: configured.base_url.clone(),
        ..Endpoints::default()
    };
    for (name, entry) in inner.unwrap_or(&object) {
        if let Some(operation) = Operation::from_name(name) {
            endpoints
                .read_entry(operation, entry, Source::Discovered)
                .map_err(|error| {
                    wrong(&format!("its `{}` is no endpoint", operation.name())).with_source(error)
                })?;
        }
    }
    if endpoints.map.is_empty() {
        return Err(wrong("it names no endpoint"));
    }
    Ok(endpoints)
}
