//! Whether a caller who was let through a while ago still would be.

use angarium_domain::account;
use angarium_engine::Handles;
use axum::extract::{FromRef, FromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use super::{Access, Authority};
use crate::problem::Problem;

/// The credential of a request whose answer does not end, to be judged again while it goes on.
pub(crate) struct Standing {
    authority: Authority,
    handles: Handles,
    rule: account::Handles,
    access: Access,
    /// The credential alone.
    headers: HeaderMap,
}

impl Standing {
    /// Judges the credential as at the door: it may have ended, been revoked, or lost its scope. A
    /// store that cannot be asked is no reason to send anybody away.
    pub(crate) async fn holds(&self) -> bool {
        match self.authority.admit(&self.headers, &self.access).await {
            Ok(()) => self.is_there().await,
            Err(problem) => !matches!(problem.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
        }
    }

    /// Whether there is still such a handle. A role of a person says nothing about that.
    async fn is_there(&self) -> bool {
        let account = self.handles.account(&self.access.handle).await;
        account.map_or(true, |account| account.admits_reads(self.rule).is_ok())
    }
}

impl<S> FromRequestParts<S> for Standing
where
    S: Send + Sync,
    Authority: FromRef<S>,
    Handles: FromRef<S>,
    account::Handles: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Standing, Problem> {
        let access =
            parts.extensions.get::<Access>().expect("the route table puts a guard before every handler");
        let credential = parts.headers.get(AUTHORIZATION).cloned();
        let headers = credential.into_iter().map(|value| (AUTHORIZATION, value)).collect();
        Ok(Standing {
            authority: Authority::from_ref(state),
            handles: Handles::from_ref(state),
            rule: account::Handles::from_ref(state),
            access: access.clone(),
            headers,
        })
    }
}
