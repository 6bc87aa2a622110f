//! The schemas that calls refer to, each once.

use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

/// Schemas by name.
#[derive(Default)]
pub(super) struct Schemas(Map<String, Value>);

/// One type with all that it is made of.
#[derive(Clone)]
pub(super) struct Named {
    name: String,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Named {
    pub(super) fn of<T: ToSchema>() -> Self {
        let name = T::name().into_owned();
        let mut schemas = vec![(name.clone(), T::schema())];
        T::schemas(&mut schemas);
        Self { name, schemas }
    }

    /// What refers to it.
    pub(super) fn reference(&self) -> Value {
        json!({"$ref": format!("#/components/schemas/{}", self.name)})
    }
}

impl Schemas {
    /// Adds a type.
    ///
    /// # Panics
    /// When another type has its name: one of them would be told for the other.
    pub(super) fn add(&mut self, named: &Named) {
        for (name, schema) in &named.schemas {
            self.insert(name, serde_json::to_value(schema).expect("a schema is JSON"));
        }
    }

    pub(super) fn insert(&mut self, name: &str, schema: Value) {
        let known = self.0.entry(name).or_insert_with(|| schema.clone());
        assert_eq!(*known, schema, "two types are called {name}");
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}
