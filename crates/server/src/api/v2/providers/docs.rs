//! What the routes of providers say of themselves.

use crate::api::v2::providers::EffectView;
use crate::openapi::Operation;
use crate::openapi::schema::{choice, object, text};

const REFUSED: &str = "`TopicArn` is not one of `ses.topics`, `SignatureVersion` is not 2, `Timestamp` is further than 15 \
                       minutes from now, `SigningCertURL` or `SubscribeURL` is not of the topic's region, the \
                       certificate is not Amazon's, or `Signature` does not belong to the message";

pub(in crate::api::v2) fn sns() -> Operation {
    let fields = object()
        .required("Type", choice(&["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]))
        .required("MessageId", text())
        .required("TopicArn", text().such_as("arn:aws:sns:eu-central-1:123456789012:bounces"))
        .optional("Subject", text().or_null())
        .required("Message", text().about("What SES tells, as JSON in a text."))
        .required("Timestamp", text().such_as("2026-02-25T12:00:00.000Z"))
        .required("SignatureVersion", text().such_as("2"))
        .required("Signature", text().about("In base64."))
        .required("SigningCertURL", text())
        .optional("SubscribeURL", text().or_null())
        .optional("Token", text().or_null());
    Operation::new("takeSnsMessage", "Take a message of Amazon SNS")
        .about(
            "Where topics of `ses.topics` are subscribed to. A confirmation is confirmed; what Amazon SES tells of \
             a bounce or a complaint takes the mailbox of its subscription out of use. Any media type is taken: SNS \
             posts `text/plain`. A message that comes again changes nothing.",
        )
        .posted_by_a_service("SnsMessage", fields)
        .answer::<EffectView>(200, "It was taken.")
        .problem(400, "invalid_payload", "the body is no message of SNS, or did not arrive in time")
        .problem(400, "invalid_<field>", REFUSED)
        .problem(413, "payload_too_large", "the body is larger than its limit")
}
