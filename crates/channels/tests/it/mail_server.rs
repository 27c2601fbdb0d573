//! A mail server on loopback that keeps what it is given, and is as rude as a test asks. The server's
//! own tests use it, too.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A mail as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Head and body, as they were sent, without the dots that transparency adds.
    pub(crate) text: String,
}

/// How a server behaves. What is not said goes well.
#[derive(Clone, Default)]
pub(crate) struct Manners {
    /// What is said instead of the greeting.
    pub(crate) greeting: Option<&'static str>,
    /// Offered, and done with this identity.
    pub(crate) starttls: Option<TlsAcceptor>,
    /// Spoken from the first byte.
    pub(crate) tls: Option<TlsAcceptor>,
    /// User name and password, without which nothing goes.
    pub(crate) log_in: Option<(&'static str, &'static str)>,
    /// What is said to `MAIL`.
    pub(crate) sender: Option<&'static str>,
    /// What is said to `RCPT`.
    pub(crate) recipient: Option<&'static str>,
    /// What becomes of a mail that was sent whole.
    pub(crate) end: End,
    /// The connection is closed after this many mails, without a word.
    pub(crate) mails_per_connection: Option<usize>,
}

/// What becomes of a mail that was sent whole.
#[derive(Clone, Copy, Default)]
pub(crate) enum End {
    /// It is kept, and that is said.
    #[default]
    Taken,
    /// This is said instead.
    Said(&'static str),
    /// It is kept, and the connection is closed without a word.
    Dropped,
    /// It is kept, and nothing is ever said.
    Silent,
}

/// A running mail server; it ends with the value.
pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    memory: Memory,
    _serving: JoinSet<()>,
}

#[derive(Clone)]
struct Memory {
    manners: Arc<Mutex<Manners>>,
    arrived: Arc<watch::Sender<Vec<Arrived>>>,
    connections: Arc<watch::Sender<usize>>,
}

impl MailServer {
    pub(crate) async fn start(manners: Manners) -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        MailServer::on(listener, manners)
    }

    pub(crate) fn on(listener: TcpListener, manners: Manners) -> MailServer {
        let address = listener.local_addr().expect("an address");
        let memory = Memory {
            manners: Arc::new(Mutex::new(manners)),
            arrived: Arc::default(),
            connections: Arc::default(),
        };
        let mut serving = JoinSet::new();
        let shared = memory.clone();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.send_modify(|count| *count += 1);
                let memory = shared.clone();
                open.spawn(async move {
                    match memory.manners().tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                memory.serve(stream, true).await;
                            }
                        }
                        None => memory.serve(stream, false).await,
                    }
                });
            }
        });
        MailServer { address, memory, _serving: serving }
    }

    /// Behaves in another way from the next command on.
    pub(crate) fn behave(&self, manners: Manners) {
        *self.memory.manners.lock().unwrap_or_else(PoisonError::into_inner) = manners;
    }

    /// What has arrived so far.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.memory.arrived.borrow().clone()
    }

    /// Waits until so many mails have arrived.
    pub(crate) async fn arrived_when(&self, count: usize) -> Vec<Arrived> {
        let mut arrived = self.memory.arrived.subscribe();
        arrived.wait_for(|mails| mails.len() >= count).await.expect("the server lives").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.memory.connections.borrow()
    }
}

impl Memory {
    fn manners(&self) -> Manners {
        self.manners.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn serve(&self, stream: impl Stream + 'static, encrypted: bool) {
        let mut stream: Box<dyn Stream> = Box::new(stream);
        let mut encrypted = encrypted;
        say(&mut stream, self.manners().greeting.unwrap_or("220 mail.example ESMTP")).await;
        // None: the conversation is over. Some: it goes on under TLS.
        while let Some(tls) = self.converse(&mut stream, encrypted).await {
            let Ok(upgraded) = tls.accept(stream).await else { return };
            stream = Box::new(upgraded);
            encrypted = true;
        }
    }

    async fn converse(&self, stream: &mut Box<dyn Stream>, encrypted: bool) -> Option<TlsAcceptor> {
        let mut lines = BufReader::new(stream);
        let (mut from, mut to, mut known, mut taken) = (String::new(), String::new(), false, 0);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let manners = self.manners();
            let line = line.trim_end().to_owned();
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let offered = manners.starttls.is_some() && !encrypted;
                    let tls = if offered { "250-STARTTLS\r\n" } else { "" };
                    let auth = if manners.log_in.is_some() { "250-AUTH PLAIN\r\n" } else { "" };
                    say(&mut lines, &format!("250-mail.example\r\n{tls}{auth}250 8BITMIME")).await;
                }
                "STARTTLS" => {
                    say(&mut lines, "220 go ahead").await;
                    return manners.starttls;
                }
                "AUTH" => {
                    let right = manners.log_in.map(|(user, password)| {
                        data_encoding::BASE64.encode(format!("\0{user}\0{password}").as_bytes())
                    });
                    known = right.is_some_and(|right| line.ends_with(&right));
                    say(&mut lines, if known { "235 2.7.0 welcome" } else { "535 5.7.8 wrong password" })
                        .await;
                }
                "MAIL" if manners.log_in.is_some() && !known => {
                    say(&mut lines, "530 5.7.0 log in first").await;
                }
                "MAIL" => {
                    from = within_brackets(&line);
                    say(&mut lines, manners.sender.unwrap_or("250 2.1.0 ok")).await;
                }
                "RCPT" => {
                    to = within_brackets(&line);
                    say(&mut lines, manners.recipient.unwrap_or("250 2.1.5 ok")).await;
                }
                "DATA" => {
                    say(&mut lines, "354 go on").await;
                    let text = read_mail(&mut lines).await?;
                    let arrived = Arrived { from: from.clone(), to: to.clone(), text };
                    let keep = || self.arrived.send_modify(|mails| mails.push(arrived.clone()));
                    match manners.end {
                        End::Taken => {
                            keep();
                            say(&mut lines, "250 2.0.0 queued").await;
                        }
                        End::Said(words) => say(&mut lines, words).await,
                        End::Dropped => {
                            keep();
                            return None;
                        }
                        End::Silent => {
                            keep();
                            let _ = lines.read(&mut [0; 1]).await;
                            return None;
                        }
                    }
                    taken += 1;
                    if manners.mails_per_connection == Some(taken) {
                        return None;
                    }
                }
                "RSET" | "NOOP" => say(&mut lines, "250 ok").await,
                "QUIT" => {
                    say(&mut lines, "221 bye").await;
                    return None;
                }
                _ => say(&mut lines, "500 what?").await,
            }
        }
    }
}

/// Either end of a conversation, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn say(stream: &mut (impl AsyncWrite + Unpin), words: &str) {
    // Whoever hung up does not hear it.
    let _ = stream.write_all(format!("{words}\r\n").as_bytes()).await;
    let _ = stream.flush().await;
}

async fn read_mail(lines: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            return Some(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

fn within_brackets(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(inner, _)| inner.to_owned()).unwrap_or_default()
}
