//! What is said of one method of a path.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    Answer, Header, examples,
    failures::failures,
    parameters::{self, Parameter},
    schemas::{Named, Schemas},
};
use crate::http::problem::Kind;

/// By what calls are grouped.
#[derive(Clone, Copy)]
pub(in crate::http) enum Tag {
    Executions,
    Learning,
    Compliance,
    Proof,
    Export,
    Server,
}

impl Tag {
    pub(super) const ALL: [Self; 6] =
        [Self::Executions, Self::Learning, Self::Compliance, Self::Proof, Self::Export, Self::Server];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Executions => "executions",
            Self::Learning => "learning",
            Self::Compliance => "compliance",
            Self::Proof => "proof",
            Self::Export => "export",
            Self::Server => "server",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Executions => "Recording executions, finding them, and saying what they are worth",
            Self::Learning => "What works, what breaks, what to try next",
            Self::Compliance => "What days amount to, what is missing, in quarantine, or purged",
            Self::Proof => "Logs as anybody's verifier reads them (C2SP tlog-tiles)",
            Self::Export => "What is recorded, to be kept elsewhere",
            Self::Server => "How the server does, and what it has",
        }
    }
}

/// Every answer has it.
pub(super) const REQUEST_ID: Header = Header {
    name: "X-Request-Id",
    description: "The request's id: the one that was sent, if it can be used, or a new one. Lines of the server's log and \
        problem documents name it.",
    example: "6f1c2b3a4d5e6f708192a3b4c5d6e7f8",
};

/// What is said of one method of a path.
#[derive(Clone)]
pub(in crate::http) struct Call {
    tag: Tag,
    id: String,
    summary: String,
    description: Option<String>,
    parameters: Vec<Parameter>,
    body: Map<String, Value>,
    types: Vec<Named>,
    answers: BTreeMap<u16, Answer>,
    fails: Vec<Kind>,
}

impl Call {
    /// The id is that of the operation.
    pub(in crate::http) fn new(tag: Tag, id: impl Into<String>, summary: &str) -> Self {
        Self {
            tag,
            id: id.into(),
            summary: summary.to_owned(),
            description: None,
            parameters: Vec::new(),
            body: Map::new(),
            types: Vec::new(),
            answers: BTreeMap::new(),
            fails: Vec::new(),
        }
    }

    /// More about it.
    pub(in crate::http) fn saying(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// What it may be given.
    pub(in crate::http) fn given(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// The body it takes, in one form.
    pub(in crate::http) fn takes(mut self, media_type: &str, schema: Value, example: Value) -> Self {
        self.body.insert(media_type.to_owned(), json!({"schema": schema, "example": example}));
        self
    }

    /// With a type, which a schema refers to.
    pub(in crate::http) fn with_type<T: ToSchema>(mut self) -> Self {
        self.types.push(Named::of::<T>());
        self
    }

    /// What it answers with this status.
    pub(in crate::http) fn answers(mut self, status: u16, answer: Answer) -> Self {
        self.answers.insert(status, answer);
        self
    }

    /// What it answers with 200 and an entity tag, and that whoever asks may have it already.
    pub(in crate::http) fn tagged(self, answer: Answer) -> Self {
        let tag = Header {
            name: "ETag",
            description: "Changes whenever the answer would; in another encoding it is another.",
            example: "\"6f1c2b3a4d5e6f708192a3b4c5d6e7f8\"",
        };
        let known = parameters::header(
            "If-None-Match",
            "Tags of answers that are known: one that still holds is answered with 304.",
            json!({"type": "string"}),
            tag.example,
        );
        self.given([known])
            .answers(200, answer.header(tag))
            .answers(304, Answer::empty("The answer is one of those that are known.").header(tag))
    }

    /// The problems it may answer with.
    pub(in crate::http) fn fails(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        self.fails.extend(kinds);
        self
    }

    pub(super) fn said(&self, schemas: &mut Schemas) -> Value {
        self.types.iter().for_each(|named| schemas.add(named));
        let reference = || json!({"$ref": format!("#/components/headers/{}", REQUEST_ID.name)});
        let mut responses: Map<String, Value> = failures(&self.fails, schemas);
        for response in responses.values_mut() {
            response["headers"][REQUEST_ID.name] = reference();
        }
        for (status, answer) in &self.answers {
            let mut said = answer.said(schemas);
            if let (200, Some(example)) = (status, examples::of(&self.id)) {
                said["content"]["application/json"]["example"] = example;
            }
            said["headers"][REQUEST_ID.name] = reference();
            responses.insert(status.to_string(), said);
        }
        let mut said = json!({
            "tags": [self.tag.name()],
            "operationId": self.id,
            "summary": self.summary,
            "responses": responses,
        });
        if let Some(description) = &self.description {
            said["description"] = json!(description);
        }
        if !self.parameters.is_empty() {
            said["parameters"] = self.parameters.iter().map(Parameter::said).collect();
        }
        if !self.body.is_empty() {
            said["requestBody"] = json!({"required": true, "content": self.body});
        }
        said
    }
}
