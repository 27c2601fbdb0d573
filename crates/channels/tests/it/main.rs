//! The attack list against the guard, the client and the channels, over real loopback sockets.

mod mail_server;
mod receiver;
mod sender;

mod answers;
mod certificates;
mod connections;
mod folders;
mod hostile;
mod library;
mod mails;
mod names;
mod requests;
mod sender_domains;
mod ses;
mod sns;
mod urls;
