//! The description of one route, in the words of its handler's file.
//!
//! It says what only the handler knows. What every route has in common (credentials, idempotency,
//! limits on the body, failures of ours) is added by [`super::document`] from the route table.

use angarium_store::page::{LIMIT_DEFAULT, LIMIT_MAX};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::openapi::example::Shown;
use crate::openapi::schema::{Object, Schema, named, object, plain, text, whole, word};

const JSON: &str = "application/json";

/// What a route does, takes and answers.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: Option<&'static str>,
    /// The heading that it stands under, if that is not in its path.
    pub(super) heading: Option<&'static str>,
    /// The name and the schema of what stands for `{id}`, or another word in braces, in the path.
    pub(super) thing: Option<(&'static str, Schema)>,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Body>,
    /// The media type of a body that is no JSON.
    pub(super) file: Option<&'static str>,
    /// The one field of a form that a browser sends instead, and what it holds.
    pub(super) form: Option<(&'static str, &'static str)>,
    /// Whether a service posts it, and not a caller who knows this API.
    pub(super) by_a_service: bool,
    /// Whether it only asks something, and no idempotency key is looked at.
    pub(super) only_asks: bool,
    pub(super) answers: Vec<Answer>,
    pub(super) problems: Vec<(u16, &'static str, &'static str)>,
    pub(super) components: Vec<(String, Value)>,
}

/// What a route takes: a component and its example.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(super) name: &'static str,
    pub(super) schema: Schema,
    pub(super) required: bool,
}

/// What a request brings, which decides what may be wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brings {
    /// JSON, under an idempotency key if the caller wants.
    Write,
    /// JSON, which only asks.
    Question,
    /// Anything else, or nothing.
    NoJson,
}

/// A success.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) about: &'static str,
    /// The media type and the schema; none for an answer without a body.
    pub(super) content: Option<(&'static str, Schema)>,
    /// Fields that are absent at times, or have another value than here.
    pub(super) shown: Vec<Shown>,
}

impl Operation {
    /// A route by its id, which client generators use as a name, and what it does in one line.
    pub(crate) fn new(id: &'static str, summary: &'static str) -> Operation {
        Operation {
            id,
            summary,
            about: None,
            heading: None,
            thing: None,
            parameters: Vec::new(),
            body: None,
            file: None,
            form: None,
            by_a_service: false,
            only_asks: false,
            answers: Vec::new(),
            problems: Vec::new(),
            components: Vec::new(),
        }
    }

    /// What a reader should know beyond the summary.
    pub(crate) fn about(self, about: &'static str) -> Operation {
        Operation { about: Some(about), ..self }
    }

    /// The heading that it stands under, where the first word of its path is none.
    pub(crate) fn under(self, heading: &'static str) -> Operation {
        Operation { heading: Some(heading), ..self }
    }

    /// What stands for `{id}`, or another word in braces, in the path, by the name that readers see.
    pub(crate) fn of<T: ToSchema>(self, name: &'static str) -> Operation {
        Operation { thing: Some((name, word::<T>())), ..self }
    }

    /// A parameter of the address that may be left out.
    pub(crate) fn filter(mut self, name: &'static str, schema: Schema, about: &'static str) -> Operation {
        let schema = schema.into_value();
        self.parameters.push(json!({ "name": name, "in": "query", "description": about, "schema": schema }));
        self
    }

    /// A parameter of the address that must be there.
    pub(crate) fn asking(mut self, name: &'static str, schema: Schema, about: &'static str) -> Operation {
        let schema = schema.into_value();
        self.parameters.push(
            json!({ "name": name, "in": "query", "required": true, "description": about, "schema": schema }),
        );
        self
    }

    /// A page of things, newest first, and the parameters that choose it: what `Items` answers.
    pub(crate) fn page_of<T: ToSchema>(self, about: &'static str) -> Operation {
        let mut paged = self.paged().collecting::<T>();
        let name = format!("{}Page", T::name());
        let next =
            text().about("Where the next page begins; null at the end.").such_as(Value::Null).or_null();
        let items = plain(json!({ "type": "array", "items": named(&T::name()).into_value() }));
        let page = object().required("items", items).required("nextCursor", next).schema();
        let content = Some((JSON, named(&name)));
        paged.components.push((name, page.about("A page of a list.").into_value()));
        paged.answers.push(Answer { status: 200, about, content, shown: Vec::new() });
        paged
    }

    /// The parameters that choose a page of a list.
    pub(crate) fn paged(self) -> Operation {
        let limit = whole(1..=LIMIT_MAX).or(LIMIT_DEFAULT);
        let cursor = text();
        self.filter("limit", limit, "How many items a page holds.").filter(
            "cursor",
            cursor,
            "Where the page begins: `nextCursor` of the page before, under the same filters.",
        )
    }

    /// The body, which must be there.
    pub(crate) fn body(self, name: &'static str, fields: Object) -> Operation {
        Operation { body: Some(Body { name, schema: fields.schema(), required: true }), ..self }
    }

    /// A body that may be missing, because all of its fields may.
    pub(crate) fn optional_body(self, name: &'static str, fields: Object) -> Operation {
        Operation { body: Some(Body { name, schema: fields.schema(), required: false }), ..self }
    }

    /// A body that is a file.
    pub(crate) fn takes(self, media_type: &'static str) -> Operation {
        Operation { file: Some(media_type), ..self }
    }

    /// The body is the form of a page, with one field.
    pub(crate) fn form(self, field: &'static str, value: &'static str) -> Operation {
        Operation { form: Some((field, value)), ..self }
    }

    /// The JSON that a service posts as plain text: it may hold further fields, and no idempotency key comes
    /// with it, since the service knows its messages by ids of its own.
    pub(crate) fn posted_by_a_service(self, name: &'static str, fields: Object) -> Operation {
        let body = Some(Body { name, schema: fields.open_schema(), required: true });
        Operation { body, by_a_service: true, ..self }
    }

    /// It is posted and writes nothing: repeating it is always the same, and no idempotency key is looked at.
    pub(crate) fn only_asking(self) -> Operation {
        Operation { only_asks: true, ..self }
    }

    /// What its requests bring; `posts`, if they come past a guard and are no reading.
    pub(super) fn brings(&self, posts: bool) -> Brings {
        if !posts || self.by_a_service || self.form.is_some() {
            Brings::NoJson
        } else if self.only_asks {
            Brings::Question
        } else {
            Brings::Write
        }
    }

    /// A success with a JSON body.
    pub(crate) fn answer<T: ToSchema>(self, status: u16, about: &'static str) -> Operation {
        let mut described = self.collecting::<T>();
        described.answers.push(Answer {
            status,
            about,
            content: Some((JSON, named(&T::name()))),
            shown: Vec::new(),
        });
        described
    }

    /// A success with a JSON body around `T`.
    pub(crate) fn answer_around<T: ToSchema>(
        self,
        wrap: fn(Schema) -> Schema,
        status: u16,
        about: &'static str,
    ) -> Operation {
        self.collecting::<T>().answer_in(status, JSON, wrap(named(&T::name())), about)
    }

    /// The answer just described holds a field that others of its kind leave out, or a value where they hold
    /// `null`.
    pub(crate) fn showing(self, field: &'static str) -> Operation {
        self.show((field, None))
    }

    /// The answer just described holds this value, where others of its kind hold another one.
    pub(crate) fn showing_as(self, field: &'static str, value: impl Into<Value>) -> Operation {
        self.show((field, Some(value.into())))
    }

    fn show(mut self, shown: Shown) -> Operation {
        self.answers.last_mut().expect("an answer was described").shown.push(shown);
        self
    }

    /// A success with a body of another kind.
    pub(crate) fn answer_in(
        mut self,
        status: u16,
        media_type: &'static str,
        schema: Schema,
        about: &'static str,
    ) -> Operation {
        self.answers.push(Answer { status, about, content: Some((media_type, schema)), shown: Vec::new() });
        self
    }

    /// 204.
    pub(crate) fn nothing(mut self, about: &'static str) -> Operation {
        self.answers.push(Answer { status: 204, about, content: None, shown: Vec::new() });
        self
    }

    /// 304: the caller has it already.
    pub(crate) fn unchanged(mut self) -> Operation {
        self.answers.push(Answer {
            status: 304,
            about: "The caller has it already.",
            content: None,
            shown: Vec::new(),
        });
        self
    }

    /// 409 `conflict`, beside the conflicts that every write may meet.
    pub(crate) fn conflict(self, when: &'static str) -> Operation {
        self.problem(409, "conflict", when)
    }

    /// A problem of this route alone: its status, its code, and when.
    pub(crate) fn problem(mut self, status: u16, code: &'static str, when: &'static str) -> Operation {
        self.problems.push((status, code, when));
        self
    }

    fn collecting<T: ToSchema>(mut self) -> Operation {
        let mut components = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut components);
        let json = |schema| serde_json::to_value(schema).expect("schemas are JSON");
        self.components.extend(components.into_iter().map(|(name, schema)| (name, json(schema))));
        self
    }
}
