//! Settings as data: the structs, what they default to, their limits, and the page about them, from
//! one table (decisions/0027).

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use angarium_channels::egress::AllowRule;
use angarium_domain::handle::Handle;
use angarium_domain::inbox::AppScheme;
use angarium_domain::sns::TopicArn;
use ipnet::IpNet;

use super::{
    EmailEncryption, EmailTransport, HandlesRule, LogFormat, PublicKeySettings, Secret, Settings, VoiceStore,
};

/// A part of the settings, `[name]` in the file.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    /// What it is about, by lines.
    pub(crate) about: &'static [&'static str],
    pub(crate) settings: Vec<Setting>,
}

/// One setting.
pub(crate) struct Setting {
    pub(crate) section: &'static str,
    pub(crate) key: &'static str,
    /// What kind of value it takes, in words.
    pub(crate) kind: &'static str,
    /// What its value is held to, in words; empty if to nothing but its kind.
    pub(crate) limits: String,
    /// What it means, by lines.
    pub(crate) about: &'static [&'static str],
    /// Its value, for people. Never a secret.
    pub(crate) shown: fn(&Settings) -> String,
    /// What is wrong with its value.
    pub(super) fault: fn(&Settings) -> Option<String>,
}

impl Setting {
    /// How the file and error messages name it.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// The variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("{}{}_{}", super::PREFIX, self.section, self.key).to_uppercase()
    }
}

/// Makes the structs of the settings from a table of sections. A line is
/// `key: Type = default, within least..=most, being SHAPE;`, of which the last two parts may be left
/// out; its doc comment is what the page says of it.
macro_rules! sections {
    ($(
        $(#[doc = $purpose:literal])+
        [$section:ident] $name:ident {
            $(
                $(#[doc = $about:literal])+
                $(#[serde($($serde:tt)*)])?
                $key:ident: $type:ty = $default:expr $(, within $limits:expr)? $(, being $shape:path)?;
            )+
        }
    )+) => {
        /// Everything that can be set.
        #[derive(Debug, Clone, Default, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            $($(#[doc = $purpose])+ pub $section: $name,)+
        }

        $(
            $(#[doc = $purpose])+
            #[derive(Debug, Clone, ::serde::Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $name {
                $($(#[doc = $about])+ $(#[serde($($serde)*)])? pub $key: $type,)+
            }

            impl Default for $name {
                fn default() -> $name {
                    $name { $($key: $default,)+ }
                }
            }
        )+

        impl Settings {
            /// Every setting there is, by section.
            pub(crate) fn table() -> Vec<$crate::settings::table::Section> {
                use $crate::settings::table::{Kind, Section, Setting, in_words, outside};
                vec![$(Section {
                    name: stringify!($section),
                    about: &[$($purpose),+],
                    settings: vec![$(Setting {
                        section: stringify!($section),
                        key: stringify!($key),
                        kind: <$type as Kind>::WORDS,
                        limits: [String::new(), $(in_words(&($limits)),)? $($shape.words.to_owned(),)?].concat(),
                        about: &[$($about),+],
                        shown: |settings| Kind::shown(&settings.$section.$key),
                        fault: |settings| {
                            let _value = &settings.$section.$key;
                            $(if let Some(fault) = outside(_value, &($limits)) { return Some(fault) })?
                            $(if let Some(fault) = $shape.fault(_value.as_deref()) { return Some(fault) })?
                            None
                        },
                    },)+],
                },)+]
            }
        }
    };
}

pub(super) use sections;

/// What a text must look like.
pub(super) struct Shape {
    /// In words, after "must be".
    pub(super) words: &'static str,
    pub(super) fits: fn(&str) -> bool,
}

impl Shape {
    pub(super) fn fault(&self, text: Option<&str>) -> Option<String> {
        let wrong = text.filter(|text| !(self.fits)(text))?;
        Some(format!("is {wrong:?}, it must be {}", self.words))
    }
}

pub(super) fn in_words<T: Display>(limits: &RangeInclusive<T>) -> String {
    format!("{} to {}", limits.start(), limits.end())
}

pub(super) fn outside<T: PartialOrd + Display>(value: &T, limits: &RangeInclusive<T>) -> Option<String> {
    let wrong = (!limits.contains(value)).then_some(value)?;
    Some(format!("is {wrong}, the limits are {} and {}", limits.start(), limits.end()))
}

/// What a setting's value is, for people.
pub(super) trait Kind {
    const WORDS: &'static str;

    /// Without what is secret.
    fn shown(&self) -> String;
}

macro_rules! kinds {
    ($($type:ty => $words:literal, |$value:ident| $shown:expr;)*) => {$(
        impl Kind for $type {
            const WORDS: &'static str = $words;

            fn shown(&self) -> String {
                let $value = self;
                $shown
            }
        }
    )*};
}

kinds! {
    bool => "`true` or `false`", |value| value.to_string();
    u16 => "whole number", |value| value.to_string();
    u32 => "whole number", |value| value.to_string();
    u64 => "whole number", |value| value.to_string();
    usize => "whole number", |value| value.to_string();
    f64 => "number", |value| format!("{value:?}");
    String => "text", |value| value.clone();
    PathBuf => "path", |value| value.display().to_string();
    SocketAddr => "address and port", |value| value.to_string();
    Handle => "handle", |value| value.to_string();
    Secret => "secret text", |_value| "(secret)".to_owned();
    LogFormat => "`text` or `json`", |value| value.as_str().to_owned();
    VoiceStore => "`folder` or `s3`", |value| value.as_str().to_owned();
    EmailTransport => "`none`, `smtp`, `ses` or `folder`", |value| value.as_str().to_owned();
    EmailEncryption => "`starttls`, `implicit` or `none`", |value| value.as_str().to_owned();
    HandlesRule => "`credentials` or `declared`", |value| value.as_str().to_owned();
    Vec<String> => "list of texts", |value| listed(value.iter());
    Vec<IpNet> => "list of networks", |value| listed(value.iter());
    Vec<AppScheme> => "list of schemes", |value| listed(value.iter());
    Vec<TopicArn> => "list of topics", |value| listed(value.iter());
    Vec<AllowRule> => "list of rules", |value| listed(value.iter());
    Vec<PublicKeySettings> => "list of tables", |value| listed(value.iter().map(|key| key.file.display()));
}

impl<T: Kind> Kind for Option<T> {
    const WORDS: &'static str = T::WORDS;

    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::shown)
    }
}

fn listed(items: impl ExactSizeIterator<Item = impl Display>) -> String {
    if items.len() == 0 {
        return "empty".to_owned();
    }
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
