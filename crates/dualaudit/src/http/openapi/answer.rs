//! What a call answers.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::schemas::{Named, Schemas};

/// What a call answers with one status.
#[derive(Clone)]
pub(in crate::http) struct Answer {
    description: String,
    content: Map<String, Value>,
    headers: Vec<Header>,
    links: Map<String, Value>,
    types: Vec<Named>,
}

/// A header of an answer.
#[derive(Clone, Copy)]
pub(in crate::http) struct Header {
    pub(in crate::http) name: &'static str,
    pub(in crate::http) description: &'static str,
    pub(in crate::http) example: &'static str,
}

impl Header {
    pub(super) fn said(self) -> Value {
        json!({"description": self.description, "schema": {"type": "string"}, "example": self.example})
    }
}

impl Answer {
    /// Without a body.
    pub(in crate::http) fn empty(description: &str) -> Self {
        Self {
            description: description.to_owned(),
            content: Map::new(),
            headers: Vec::new(),
            links: Map::new(),
            types: Vec::new(),
        }
    }

    /// JSON of a type.
    pub(in crate::http) fn of<T: ToSchema>(description: &str) -> Self {
        let named = Named::of::<T>();
        let mut answer = Self::json(description, named.reference());
        answer.types.push(named);
        answer
    }

    /// JSON of this schema.
    pub(in crate::http) fn json(description: &str, schema: Value) -> Self {
        Self::empty(description).or("application/json", schema)
    }

    /// Or in another form.
    pub(in crate::http) fn or(mut self, media_type: &str, schema: Value) -> Self {
        self.content.insert(media_type.to_owned(), json!({ "schema": schema }));
        self
    }

    /// With an example, in the form that was named last.
    pub(in crate::http) fn example(mut self, example: Value) -> Self {
        if let Some(content) = self.content.values_mut().next_back() {
            content["example"] = example;
        }
        self
    }

    /// With a header.
    pub(in crate::http) fn header(mut self, header: Header) -> Self {
        self.headers.push(header);
        self
    }

    /// Where to go on: the parameters of another call, each with where it stands in this answer.
    pub(in crate::http) fn link(mut self, name: &str, call: &str, parameters: Value) -> Self {
        self.links.insert(name.to_owned(), json!({"operationId": call, "parameters": parameters}));
        self
    }

    pub(super) fn said(&self, schemas: &mut Schemas) -> Value {
        self.types.iter().for_each(|named| schemas.add(named));
        let headers: Map<String, Value> =
            self.headers.iter().map(|header| (header.name.to_owned(), header.said())).collect();
        let mut said = json!({"description": self.description, "headers": headers});
        for (name, part) in [("content", &self.content), ("links", &self.links)] {
            if !part.is_empty() {
                said[name] = json!(part);
            }
        }
        said
    }
}
