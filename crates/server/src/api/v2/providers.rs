//! Posts of services that send mails for us. Nobody is known there: a signature says who speaks.

pub(super) mod docs;

use angarium_engine::tasks::run;
use angarium_engine::{Effect, MailNotices};
use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use tracing::Instrument;
use utoipa::ToSchema;

use crate::limits::Limits;
use crate::problem::Problem;

/// What came of a notice.
#[derive(Serialize, ToSchema)]
#[schema(as = NoticeEffect)]
#[serde(rename_all = "camelCase")]
pub(super) struct EffectView {
    /// `suppressed`: the mailbox is sent nothing more. `counted`: it is in the figures. `confirmed`: the
    /// topic's messages come from now on. `none`: it was seen before, or is about nothing here.
    #[schema(example = "suppressed")]
    effect: &'static str,
}

pub(super) async fn sns(
    State(notices): State<MailNotices>,
    State(limits): State<Limits>,
    request: Request,
) -> Result<Json<EffectView>, Problem> {
    let (parts, body) = request.into_parts();
    let body = limits.read_whole(&parts.headers, body).await?;
    // A caller who hangs up changes nothing half way.
    let taken = run(async move { notices.take(&body).await }.in_current_span()).await;
    Ok(Json(EffectView::of(taken?)))
}

impl EffectView {
    fn of(effect: Effect) -> EffectView {
        let effect = match effect {
            Effect::Suppressed => "suppressed",
            Effect::Counted => "counted",
            Effect::Confirmed => "confirmed",
            Effect::None => "none",
        };
        EffectView { effect }
    }
}
