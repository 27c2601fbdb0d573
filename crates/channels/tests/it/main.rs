//! The attack list against the guard, the client and the webhook channel, over real loopback sockets.

mod receiver;
mod sender;

mod answers;
mod certificates;
mod connections;
mod folders;
mod hostile;
mod library;
mod names;
mod requests;
mod sender_domains;
mod sns;
mod urls;
