//! JSON Web Tokens: whose word we take, and what it says about roles.
//!
//! Every key has one algorithm, fixed when the key was configured. A token's own
//! `alg` is never believed: it only has to agree.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use angarium_domain::access::Role;
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::auth::jwks::Jwks;

/// How many verified tokens are remembered, so that a busy caller's signature is checked once.
const REMEMBERED_MAX: usize = 4096;

/// A key and the one algorithm that it verifies.
#[derive(Clone)]
pub struct JwtKey {
    /// The name that tokens call it by; a key without a name may verify any token.
    pub kid: Option<String>,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The key.
    pub key: DecodingKey,
}

/// What a token must say besides being signed.
#[derive(Debug, Clone)]
pub struct JwtRules {
    /// The only `iss`, if set.
    pub issuer: Option<String>,
    /// The only `aud`, if set.
    pub audience: Option<String>,
    /// The claim that maps handles to roles.
    pub roles_claim: String,
    /// The claim that makes a platform admin.
    pub platform_admin_claim: String,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// Who a verified token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The token's `sub`.
    pub subject: String,
    /// Whether they look after handles.
    pub platform_admin: bool,
    roles: HashMap<String, Role>,
    expires_at: Timestamp,
}

/// Why a token was refused. Nobody learns more: a reason would help to forge the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtRefused {
    /// It was good once.
    Expired,
    /// It is not ours.
    Invalid,
}

/// Verifies tokens.
pub struct JwtVerifier {
    fixed: Vec<JwtKey>,
    fetched: Option<Fetched>,
    rules: JwtRules,
    clock: Arc<dyn Clock>,
    /// Shared because requests run on every thread; held for a lookup, never across an await.
    remembered: Mutex<HashMap<[u8; 32], Arc<Person>>>,
}

struct Fetched {
    source: Jwks,
    keys: RwLock<Arc<Vec<JwtKey>>>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    exp: u64,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Person {
    /// The role on a handle: by its name, or by `*`, whichever allows more.
    pub fn role_on(&self, handle: &Handle) -> Option<Role> {
        self.roles.get(handle.as_str()).max(self.roles.get("*")).copied()
    }
}

impl JwtVerifier {
    /// A verifier that knows `fixed` keys, and those of `source` once it was asked.
    pub fn new(
        fixed: Vec<JwtKey>,
        source: Option<Jwks>,
        rules: JwtRules,
        clock: Arc<dyn Clock>,
    ) -> JwtVerifier {
        let fetched = source.map(|source| Fetched { source, keys: RwLock::default() });
        JwtVerifier { fixed, fetched, rules, clock, remembered: Mutex::default() }
    }

    /// Fetches the published keys for the first time.
    pub async fn load(&self) -> Result<(), String> {
        if let Some(fetched) = &self.fetched {
            fetched.replace(fetched.source.load().await?);
        }
        Ok(())
    }

    /// Says who a token speaks for.
    pub async fn verify(&self, token: &str) -> Result<Arc<Person>, JwtRefused> {
        if let Some(fetched) = &self.fetched
            && let Some(keys) = fetched.source.load_when_old().await
        {
            self.accept_keys(fetched, keys);
        }
        let name: [u8; 32] =
            digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes");
        if let Some(person) = self.recall(&name)? {
            return Ok(person);
        }
        let person = Arc::new(self.verify_anew(token).await?);
        self.remember(name, person.clone());
        Ok(person)
    }

    async fn verify_anew(&self, token: &str) -> Result<Person, JwtRefused> {
        let kid = decode_header(token).map_err(|_| JwtRefused::Invalid)?.kid;
        let verified = self.verify_with_any(kid.as_deref(), token);
        if verified == Err(JwtRefused::Invalid)
            && let Some(fetched) = self.fetched.as_ref().filter(|fetched| !fetched.knows(kid.as_deref()))
            && let Some(keys) = fetched.source.load_for_unknown_kid().await
        {
            self.accept_keys(fetched, keys);
            return self.verify_with_any(kid.as_deref(), token);
        }
        verified
    }

    fn verify_with_any(&self, kid: Option<&str>, token: &str) -> Result<Person, JwtRefused> {
        let mut refused = JwtRefused::Invalid;
        for candidate in self.candidates(kid) {
            match self.verify_with(&candidate, token) {
                Ok(person) => return Ok(person),
                // Said only by a key whose signature was right.
                Err(JwtRefused::Expired) => refused = JwtRefused::Expired,
                Err(JwtRefused::Invalid) => {}
            }
        }
        Err(refused)
    }

    /// The keys that a token may be signed with: those of its `kid`, and those without a name.
    fn candidates(&self, kid: Option<&str>) -> Vec<JwtKey> {
        let fetched = self.fetched.as_ref().map(Fetched::current).unwrap_or_default();
        let fits = |key: &&JwtKey| key.kid.is_none() || kid.is_none() || key.kid.as_deref() == kid;
        self.fixed.iter().chain(fetched.iter()).filter(fits).cloned().collect()
    }

    fn verify_with(&self, key: &JwtKey, token: &str) -> Result<Person, JwtRefused> {
        let data =
            decode::<Claims>(token, &key.key, &self.validation(key.algorithm)).map_err(
                |error| match error.kind() {
                    ErrorKind::ExpiredSignature => JwtRefused::Expired,
                    _ => JwtRefused::Invalid,
                },
            )?;
        Ok(self.person(data.claims))
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.rules.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.rules.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match &self.rules.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    fn person(&self, mut claims: Claims) -> Person {
        let roles = match claims.others.remove(&self.rules.roles_claim) {
            Some(Value::Object(roles)) => roles,
            _ => Map::new(),
        };
        let platform_admin = claims.others.get(&self.rules.platform_admin_claim) == Some(&Value::Bool(true));
        // A role that we do not know gives nothing, and takes nothing from the ones that we do.
        let known = |(handle, role): (String, Value)| Some((handle, serde_json::from_value(role).ok()?));
        Person {
            subject: claims.sub.chars().filter(|c| !c.is_control()).take(128).collect(),
            platform_admin,
            roles: roles.into_iter().filter_map(known).collect(),
            expires_at: Timestamp::from_seconds(claims.exp.min(1 << 40) as i64) + self.rules.leeway,
        }
    }

    fn recall(&self, name: &[u8; 32]) -> Result<Option<Arc<Person>>, JwtRefused> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        match remembered.get(name) {
            Some(person) if person.expires_at < self.clock.now() => Err(JwtRefused::Expired),
            found => Ok(found.cloned()),
        }
    }

    fn remember(&self, name: [u8; 32], person: Arc<Person>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        // Starting over costs one verification for each token in use, and needs no order to keep.
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(name, person);
    }

    /// Takes new keys. What was verified with the old ones is verified again.
    fn accept_keys(&self, fetched: &Fetched, keys: Vec<JwtKey>) {
        fetched.replace(keys);
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Fetched {
    fn knows(&self, kid: Option<&str>) -> bool {
        self.current().iter().any(|key| key.kid.as_deref() == kid)
    }

    fn current(&self) -> Arc<Vec<JwtKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, keys: Vec<JwtKey>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    use angarium_engine::clock::SystemClock;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"a secret for tests that is long enough to be one";

    struct MovableClock(AtomicI64);

    impl Clock for MovableClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Relaxed))
        }
    }

    fn verifier(clock: Arc<dyn Clock>) -> JwtVerifier {
        let key = JwtKey { kid: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(SECRET) };
        let rules = JwtRules {
            issuer: None,
            audience: None,
            roles_claim: "handles".to_owned(),
            platform_admin_claim: "platform_admin".to_owned(),
            leeway: Duration::from_mins(1),
        };
        JwtVerifier::new(vec![key], None, rules, clock)
    }

    fn token(claims: &Value) -> String {
        encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).expect("a token")
    }

    fn in_an_hour() -> i64 {
        SystemClock.now().as_seconds() + 3600
    }

    #[tokio::test]
    async fn a_remembered_token_ends_when_it_says_and_not_later() {
        let clock = Arc::new(MovableClock(AtomicI64::new(SystemClock.now().as_millis())));
        let verifier = verifier(clock.clone());
        let token = token(&json!({ "exp": in_an_hour() }));
        assert!(verifier.verify(&token).await.is_ok());
        clock.0.fetch_add(3_590_000, Relaxed);
        assert!(verifier.verify(&token).await.is_ok());
        clock.0.fetch_add(80_000, Relaxed);
        assert_eq!(verifier.verify(&token).await, Err(JwtRefused::Expired));
    }

    #[tokio::test]
    async fn no_more_tokens_are_remembered_than_the_limit() {
        let verifier = verifier(Arc::new(SystemClock));
        for n in 0..=REMEMBERED_MAX {
            let token = token(&json!({ "sub": n.to_string(), "exp": in_an_hour() }));
            verifier.verify(&token).await.expect("a good token");
        }
        assert!(verifier.remembered.lock().expect("a lock").len() <= REMEMBERED_MAX);
    }

    #[tokio::test]
    async fn a_subject_cannot_break_a_log_line() {
        let token =
            token(&json!({ "sub": format!("a\r\nb\u{1b}[31m{}", "x".repeat(500)), "exp": in_an_hour() }));
        let subject =
            verifier(Arc::new(SystemClock)).verify(&token).await.expect("a good token").subject.clone();
        assert!(subject.starts_with("ab[31mx") && subject.len() == 128, "{subject:?}");
    }
}
