//! A PKCS#11 token as a store of keys: one AES-256 object for every root, destroyed with `C_DestroyObject`.
//!
//! The vendor's module is loaded into this process and trusted with it. A session is opened when it is first needed and
//! again after any error; every search begins anew, so that what the token has forgotten is not found in a session's memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use thiserror::Error;
use zeroize::Zeroizing;

use super::check::{Finding, RegisterAssessment, note};
use super::keyed::Keys;

/// The class named in status and certificates.
const CLASS: &str = "pkcs11";
/// Bytes of a nonce. Every key wraps once.
const NONCE: usize = 12;

/// Where the user's PIN comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// A file with nothing but the PIN.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

/// Which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChoice {
    /// By its label.
    Label(String),
    /// By its serial number, for two tokens of one label.
    Serial(String),
}

/// One token of one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Options {
    /// The vendor's module, a shared library.
    pub module: PathBuf,
    /// The token.
    pub token: TokenChoice,
    /// Its user's PIN.
    pub pin: Pin,
}

/// Why a token cannot be used.
#[derive(Debug, Error)]
pub enum Pkcs11Error {
    /// The module cannot be loaded or does not start.
    #[error("the PKCS#11 module cannot be used")]
    Module(#[source] io::Error),
    /// No or more than one token.
    #[error("{0} tokens of this module answer to the description; exactly one must")]
    Choice(usize),
    /// The token cannot do what is needed.
    #[error("the token knows no {0}")]
    Lacks(&'static str),
    /// The PIN or the token.
    #[error("the token cannot be opened")]
    Session(#[source] io::Error),
}

/// The keys of one token.
pub struct Token {
    module: Pkcs11,
    slot: Slot,
    pin: Pin,
    session: Mutex<Option<Session>>,
}

impl Token {
    /// Loads the module, finds the token and logs in.
    pub fn open(options: &Pkcs11Options) -> Result<Self, Pkcs11Error> {
        let module = load(&options.module).map_err(Pkcs11Error::Module)?;
        let failed = |error| Pkcs11Error::Session(token_error(&error));
        let mut found = Vec::new();
        for slot in module.get_slots_with_initialized_token().map_err(failed)? {
            let info = module.get_token_info(slot).map_err(failed)?;
            let wanted = match &options.token {
                TokenChoice::Label(label) => info.label() == label,
                TokenChoice::Serial(serial) => info.serial_number() == serial,
            };
            if wanted {
                found.push(slot);
            }
        }
        let [slot] = found[..] else { return Err(Pkcs11Error::Choice(found.len())) };
        let mechanisms = module.get_mechanism_list(slot).map_err(failed)?;
        for (needed, name) in [(MechanismType::AES_KEY_GEN, "CKM_AES_KEY_GEN"), (MechanismType::AES_GCM, "CKM_AES_GCM")]
        {
            if !mechanisms.contains(&needed) {
                return Err(Pkcs11Error::Lacks(name));
            }
        }
        let token = Self { module, slot, pin: options.pin.clone(), session: Mutex::default() };
        token.with(|_| Ok(())).map_err(Pkcs11Error::Session)?;
        Ok(token)
    }

    /// What an operator should know of this token.
    pub fn assess(&self) -> io::Result<RegisterAssessment> {
        let info = self.module.get_token_info(self.slot).map_err(|error| token_error(&error))?;
        let maker = info.manufacturer_id().to_owned();
        let mut findings: Vec<Finding> = vec![note(
            "token-copies",
            "a backup, clone or cluster member of the token keeps keys that are destroyed here: have none",
        )];
        if maker.to_ascii_lowercase().contains("softhsm") {
            findings.push(note(
                "soft-token",
                "SoftHSM keeps its objects in files: it is for tests, and no better than the disk below it",
            ));
        }
        Ok(RegisterAssessment::of(CLASS.to_owned(), findings))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something in a session. After an error the session is given up, and a stale one gets one more try: all that
    /// is done here may be done twice.
    fn with<T>(&self, work: impl Fn(&Session) -> Result<T, TokenError>) -> io::Result<T> {
        let mut held = self.lock();
        let stale = held.is_some();
        let session = match held.take() {
            Some(session) => session,
            None => self.log_in()?,
        };
        let error = match work(&session) {
            Ok(done) => {
                *held = Some(session);
                return Ok(done);
            }
            Err(error) => error,
        };
        drop(session);
        let lost = matches!(
            error,
            TokenError::Pkcs11(
                RvError::SessionHandleInvalid
                    | RvError::SessionClosed
                    | RvError::UserNotLoggedIn
                    | RvError::DeviceError,
                _
            )
        );
        if !(stale && lost) {
            return Err(token_error(&error));
        }
        let session = self.log_in()?;
        let done = work(&session).map_err(|error| token_error(&error))?;
        *held = Some(session);
        Ok(done)
    }

    fn log_in(&self) -> io::Result<Session> {
        let pin = match &self.pin {
            Pin::File(path) => std::fs::read_to_string(path)
                .map_err(|error| io::Error::new(error.kind(), "the PIN file cannot be read"))?,
            Pin::Variable(name) => std::env::var(name).map_err(|_| {
                io::Error::new(io::ErrorKind::PermissionDenied, "the PIN's environment variable is not set")
            })?,
        };
        let pin = Zeroizing::new(pin);
        let pin = AuthPin::from(pin.trim().to_owned());
        let session = self.module.open_rw_session(self.slot).map_err(|error| token_error(&error))?;
        match session.login(UserType::User, Some(&pin)) {
            // The login is the process's, not the session's.
            Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(token_error(&error)),
        }
    }
}

impl Keys for Token {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn mint(&self, name: &str) -> io::Result<()> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(32.into()),
            Attribute::Label(name.as_bytes().to_vec()),
            Attribute::Id(name.as_bytes().to_vec()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
        ];
        self.with(|session| {
            if find(session, name)?.is_empty() {
                session.generate_key(&Mechanism::AesKeyGen, &template)?;
            }
            Ok(())
        })?;
        let kept = self.with(|session| {
            let [key] = find(session, name)?[..] else { return Ok(false) };
            let wanted = [AttributeType::Sensitive, AttributeType::Extractable, AttributeType::NeverExtractable];
            let found = session.get_attributes(key, &wanted)?;
            Ok(found.contains(&Attribute::Sensitive(true))
                && found.contains(&Attribute::Extractable(false))
                && found.contains(&Attribute::NeverExtractable(true)))
        })?;
        if kept { Ok(()) } else { Err(io::Error::other("the token made a key that can be taken out of it")) }
    }

    fn wrap(&self, name: &str, context: &[u8], plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE];
        rand::fill(&mut nonce).map_err(|_| io::Error::other("no random numbers"))?;
        let sealed = self.with(|session| {
            let [key] = find(session, name)?[..] else { return Ok(None) };
            let mut used = nonce;
            let mechanism = Mechanism::AesGcm(GcmParams::new(&mut used, context, 128.into())?);
            session.encrypt(&mechanism, key, plain).map(Some)
        })?;
        let sealed = sealed.ok_or_else(|| io::Error::other("the token does not have the key that it just made"))?;
        Ok(BASE64.encode([&nonce[..], &sealed].concat()).into_bytes())
    }

    fn unwrap(&self, name: &str, context: &[u8], wrapped: &[u8]) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let bytes = BASE64.decode(wrapped).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE).ok_or(io::ErrorKind::InvalidData)?;
        self.with(|session| {
            let Some(key) = find(session, name)?.first().copied() else { return Ok(None) };
            let mut used = [0; NONCE];
            used.copy_from_slice(nonce);
            let mechanism = Mechanism::AesGcm(GcmParams::new(&mut used, context, 128.into())?);
            session.decrypt(&mechanism, key, sealed).map(|plain| Some(Zeroizing::new(plain)))
        })
    }

    fn destroy(&self, name: &str) -> io::Result<()> {
        self.with(|session| {
            for key in find(session, name)? {
                match session.destroy_object(key) {
                    Ok(()) | Err(TokenError::Pkcs11(RvError::ObjectHandleInvalid, _)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })?;
        // Looked for by a session that never saw it.
        let fresh = self.module.open_rw_session(self.slot).map_err(|error| token_error(&error))?;
        let left = find(&fresh, name).map_err(|error| token_error(&error))?;
        if left.is_empty() { Ok(()) } else { Err(io::Error::other("the token still has the key that was destroyed")) }
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.with(|session| {
            let ours = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Token(true)];
            let mut names = Vec::new();
            for object in session.find_objects(&ours)? {
                for attribute in session.get_attributes(object, &[AttributeType::Label])? {
                    if let Attribute::Label(label) = attribute
                        && let Ok(name) = String::from_utf8(label)
                        && name.starts_with(prefix)
                    {
                        names.push(name);
                    }
                }
            }
            Ok(names)
        })
    }
}

fn find(session: &Session, name: &str) -> Result<Vec<ObjectHandle>, TokenError> {
    session.find_objects(&[
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Label(name.as_bytes().to_vec()),
    ])
}

/// A module is started once in a process, however many tokens of it are used, and stays.
fn load(path: &Path) -> io::Result<Pkcs11> {
    static LOADED: OnceLock<Mutex<Vec<(PathBuf, Pkcs11)>>> = OnceLock::new();
    let mut loaded = LOADED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let path = path.canonicalize()?;
    if let Some((_, module)) = loaded.iter().find(|(known, _)| *known == path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(&path).map_err(|error| token_error(&error))?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(token_error(&error)),
    }
    loaded.push((path, module.clone()));
    Ok(module)
}

/// The module's return value and function; no attribute and no PIN is in it.
fn token_error(error: &TokenError) -> io::Error {
    let kind = match error {
        // A tag that does not fit; some modules have no better word for it than a general error.
        TokenError::Pkcs11(
            RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::GeneralError
            | RvError::FunctionFailed,
            Function::Decrypt,
        ) => io::ErrorKind::InvalidData,
        TokenError::Pkcs11(RvError::PinIncorrect | RvError::PinLocked | RvError::PinExpired, _) => {
            io::ErrorKind::PermissionDenied
        }
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("PKCS#11: {error}"))
}
