//! The same for anybody: nobody is known, and the handle is in the body.

use angarium_domain::handle::Handle;
use angarium_engine::{Asker, Chains};
use axum::Json;
use axum::extract::State;

use super::forms::{self, Whose};
use super::{DecisionsView, accepted, decided, prefetched, recorded};
use crate::api::answer::{Answered, carried_out};
use crate::api::request::Stranger;
use crate::problem::Problem;
use crate::rate::SessionPace;
use crate::state::Callers;

/// What stands in idempotency scopes for these routes: their keys are not those of callers with a credential.
const SIGNALS: &str = "public /chain/signals";
const RESOLVE: &str = "public /chain/resolve";

pub(in crate::api::v2) async fn append(
    State(chains): State<Chains>,
    State(callers): State<Callers>,
    State(pace): State<SessionPace>,
    stranger: Stranger,
) -> Result<Answered, Problem> {
    let asked = forms::signals(stranger.form()?, Whose::InBody)?;
    admit(&chains, &callers, &asked.handle, &stranger).await?;
    let (id, request_id) = (asked.session_id.clone(), stranger.request_id());
    let answer = move |made: &_| accepted(*made, &id, &request_id);
    let (caller, once) = stranger.into_parts(asked.handle.clone(), SIGNALS, &asked.session_id, answer)?;
    recorded(chains, pace, asked, caller, once).await.map_err(without_reasons)
}

pub(in crate::api::v2) async fn resolve(
    State(chains): State<Chains>,
    State(callers): State<Callers>,
    stranger: Stranger,
) -> Result<Answered, Problem> {
    let asked = forms::question(stranger.form()?, Whose::InBody)?;
    admit(&chains, &callers, &asked.handle, &stranger).await?;
    let (handle, id) = (asked.handle.clone(), asked.session_id.clone());
    let answer = move |made: &_| decided(made, &handle, &id);
    let forms::Question { handle, session_id, trigger } = asked;
    let (caller, once) = stranger.into_parts(handle, RESOLVE, &session_id, answer)?;
    let anybody = Asker::Anybody;
    let written =
        carried_out(async move { chains.resolve(caller, session_id, trigger, once, anybody).await });
    written.await.map_err(without_reasons)
}

pub(in crate::api::v2) async fn prefetch(
    State(chains): State<Chains>,
    State(callers): State<Callers>,
    stranger: Stranger,
) -> Result<Json<DecisionsView>, Problem> {
    let asked = forms::questions(stranger.form()?, Whose::InBody)?;
    admit(&chains, &callers, &asked.handle, &stranger).await?;
    prefetched(&chains, asked).await
}

async fn admit(
    chains: &Chains,
    callers: &Callers,
    handle: &Handle,
    stranger: &Stranger,
) -> Result<(), Problem> {
    Ok(chains.admit(handle, stranger.origin(), callers.handles).await?)
}

/// Why a handle is suspended is told to its people and not to anybody.
fn without_reasons(problem: Problem) -> Problem {
    if problem.code == "handle_suspended" {
        return Problem::new(problem.status, problem.code, "the handle is suspended");
    }
    problem
}
