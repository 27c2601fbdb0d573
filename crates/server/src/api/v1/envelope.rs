//! What every answer of this API is wrapped in, and its words for what is wrong.

use angarium_domain::time::Timestamp;
use angarium_engine::Answer;
use axum::Json;
use http::StatusCode;
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::api::answer;
use crate::openapi::schema::{Schema, object, plain};
use crate::problem::{Detail, Problem};

/// A success.
#[derive(Serialize)]
pub(crate) struct Success<T> {
    success: bool,
    data: T,
}

#[derive(Serialize)]
struct Refused<'a> {
    success: bool,
    error: RefusedBecause<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefusedBecause<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "<[Detail]>::is_empty")]
    details: &'a [Detail],
    request_id: &'a str,
}

/// A time with three digits behind the seconds, always.
#[derive(Debug, Clone, Copy)]
pub(super) struct Millis(pub(super) Timestamp);

/// What a success of this API looks like, in its description.
pub(super) fn around(data: Schema) -> Schema {
    object().required("success", plain(json!({ "const": true }))).required("data", data).schema()
}

/// The answer to a question.
pub(super) fn success<T>(data: T) -> Json<Success<T>> {
    Json(Success { success: true, data })
}

/// The answer to a write.
pub(super) fn answer(status: StatusCode, data: impl Serialize) -> Answer {
    answer::json(status, &Success { success: true, data })
}

/// The JSON text of a problem.
pub(in crate::api) fn refusal(problem: &Problem, request_id: &str) -> Vec<u8> {
    let Problem { status, message, details, .. } = problem;
    let error = RefusedBecause { code: code(*status), message, details, request_id };
    serde_json::to_vec(&Refused { success: false, error }).expect("text is always JSON")
}

/// This API has seven words; what v2 tells more finely is in the status and the message.
pub(crate) fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        // 422 is the answer to an idempotency key of another request: it stands in the way.
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => "CONFLICT",
        StatusCode::TOO_MANY_REQUESTS => "RATE_LIMITED",
        status if status.is_server_error() => "INTERNAL_ERROR",
        // 405, 413 and 415 with it: the request has to be another one.
        _ => "BAD_REQUEST",
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.with_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_that_we_answer_has_one_of_the_seven_words() {
        for (status, word) in [
            (400, "BAD_REQUEST"),
            (401, "UNAUTHORIZED"),
            (403, "FORBIDDEN"),
            (404, "NOT_FOUND"),
            (405, "BAD_REQUEST"),
            (409, "CONFLICT"),
            (413, "BAD_REQUEST"),
            (415, "BAD_REQUEST"),
            (422, "CONFLICT"),
            (429, "RATE_LIMITED"),
            (500, "INTERNAL_ERROR"),
            (503, "INTERNAL_ERROR"),
        ] {
            assert_eq!(code(StatusCode::from_u16(status).expect("a status")), word);
        }
    }

    #[test]
    fn a_refusal_has_the_published_shape_and_names_the_fields_at_fault() {
        let problem = Problem::invalid_field("url", "url is odd");
        assert_eq!(
            String::from_utf8(refusal(&problem, "req_1")).expect("text"),
            r#"{"success":false,"error":{"code":"BAD_REQUEST","message":"url is odd","details":[{"field":"url","code":"invalid","message":"url is odd"}],"requestId":"req_1"}}"#
        );
    }

    #[test]
    fn times_have_milliseconds_also_where_there_are_none() {
        for (millis, text) in [(0, "\"1970-01-01T00:00:00.000Z\""), (1_234, "\"1970-01-01T00:00:01.234Z\"")] {
            let time = Millis(Timestamp::from_millis(millis));
            assert_eq!(serde_json::to_string(&time).expect("JSON"), text);
        }
    }
}
