//! A second opinion: pgwire writes the same bytes and reads the same values, for valid messages.

use bytes::{Bytes, BytesMut};
use pgweir_wire::backend::{self, Authentication, Fields, Status};
use pgweir_wire::encode::{self, ErrorFields};
use pgweir_wire::{HEADER_LEN, frontend, header, startup};
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::{
    self as theirs, BackendKeyData, NegotiateProtocolVersion, SASLInitialResponse, SecretKey,
};
use pgwire::messages::{
    DecodeContext, Message, copy, data, extendedquery, response, simplequery, terminate,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

/// pgwire's bytes for `message`, without header.
fn body(bytes: &[u8]) -> &[u8] {
    let found = header(bytes, u32::MAX).unwrap().unwrap();
    assert_eq!(found.frame_len(), bytes.len() as u64);
    &bytes[HEADER_LEN..]
}

/// Our bytes are pgwire's, and pgwire reads them as the message they stand for. Gives those bytes.
fn same<M: Message + PartialEq + std::fmt::Debug>(
    message: &M,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<Vec<u8>, TestCaseError> {
    let mut theirs = BytesMut::new();
    message.encode(&mut theirs).unwrap();
    let mut ours = Vec::new();
    write(&mut ours);
    prop_assert_eq!(&ours[..], &theirs[..]);
    let read = M::decode(&mut theirs, &DecodeContext::default()).unwrap();
    prop_assert_eq!(read.as_ref(), Some(message));
    Ok(ours)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[^\0]{0,12}"]
}

/// pgwire says `None` for an empty name.
fn name(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn queries(a in text(), b in text(), types in vec(any::<u32>(), 0..5), rows in 0..=i32::MAX) {
        let message = simplequery::Query::new(a.clone());
        let bytes = same(&message, |out| encode::query(a.as_bytes(), out))?;
        prop_assert_eq!(frontend::query(body(&bytes)), Ok(a.as_bytes()));

        let raw: Vec<u8> = types.iter().flat_map(|oid| oid.to_be_bytes()).collect();
        let message = extendedquery::Parse::new(name(&a), b.clone(), types);
        let bytes = same(&message, |out| encode::parse(a.as_bytes(), b.as_bytes(), &raw, out))?;
        let expected = frontend::Parse { name: a.as_bytes(), query: b.as_bytes(), types: &raw };
        prop_assert_eq!(frontend::parse(body(&bytes)), Ok(expected));

        let message = extendedquery::Execute::new(name(&a), rows);
        let max_rows = rows as u32;
        let bytes = same(&message, |out| encode::execute(a.as_bytes(), max_rows, out))?;
        let expected = frontend::Execute { portal: a.as_bytes(), max_rows };
        prop_assert_eq!(frontend::execute(body(&bytes)), Ok(expected));

        for kind in [b'S', b'P'] {
            let expected = frontend::Named { kind, name: a.as_bytes() };
            let message = extendedquery::Describe::new(kind, name(&a));
            let bytes = same(&message, |out| encode::describe(kind, a.as_bytes(), out))?;
            prop_assert_eq!(frontend::describe(body(&bytes)), Ok(expected));
            let message = extendedquery::Close::new(kind, name(&a));
            let bytes = same(&message, |out| encode::close(kind, a.as_bytes(), out))?;
            prop_assert_eq!(frontend::close(body(&bytes)), Ok(expected));
        }

        let message = copy::CopyFail::new(a.clone());
        let bytes = same(&message, |out| encode::copy_fail(&a, out))?;
        prop_assert_eq!(frontend::copy_fail(body(&bytes)), Ok(a.as_bytes()));
    }

    #[test]
    fn binds(a in text(), b in text(), values in vec(option::of(vec(any::<u8>(), 0..20)), 0..5)) {
        let parameters = values.iter().map(|value| value.clone().map(Bytes::from)).collect();
        let message = extendedquery::Bind::new(name(&a), name(&b), vec![], parameters, vec![]);
        let borrowed: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
        let bytes = same(&message, |out| encode::bind(a.as_bytes(), b.as_bytes(), &borrowed, out))?;
        let names = frontend::bind_names(body(&bytes)).unwrap();
        prop_assert_eq!((names.portal, names.statement), (a.as_bytes(), b.as_bytes()));
        prop_assert_eq!(names.rest_at, a.len() + b.len() + 2);
    }

    #[test]
    fn startups(parameters in btree_map("[^\0]{1,8}", text(), 0..5), newer in any::<bool>()) {
        let mut message = theirs::Startup::new();
        message.protocol_number_minor = if newer { 2 } else { 0 };
        // pgwire stops reading at an empty value and would not see what follows.
        message.parameters = parameters.into_iter().filter(|pair| !pair.1.is_empty()).collect();
        let version = if newer { startup::PROTOCOL_3_2 } else { startup::PROTOCOL_3_0 };
        let bytes = same(&message, |out| encode::startup_message(version, &message.parameters, out))?;
        prop_assert_eq!(startup::packet_len(&bytes), Ok(Some(bytes.len())));
        let Ok(startup::Packet::Startup(read)) = startup::packet(&bytes) else { panic!("{bytes:?}") };
        prop_assert_eq!(read.version, version);
        let pairs = message.parameters.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        prop_assert!(read.parameters().eq(pairs));
    }

    #[test]
    fn keys(pid in any::<i32>(), key in vec(any::<u8>(), 4..=256)) {
        let secret = SecretKey::Bytes(key.clone().into());
        let message = CancelRequest::new(pid, secret.clone());
        let bytes = same(&message, |out| encode::cancel_request(pid as u32, &key, out))?;
        let Ok(startup::Packet::Cancel(cancel)) = startup::packet(&bytes) else { panic!("{bytes:?}") };
        prop_assert_eq!((cancel.pid, cancel.key), (pid as u32, &key[..]));

        let message = BackendKeyData::new(pid, secret);
        let bytes = same(&message, |out| encode::backend_key(pid as u32, &key, out))?;
        let read = backend::backend_key(body(&bytes)).unwrap();
        prop_assert_eq!((read.pid, read.key), (pid as u32, &key[..]));
    }

    #[test]
    fn logins(
        texts in vec("[^\0]{1,12}", 0..4),
        password in text(),
        data in vec(any::<u8>(), 0..40),
        salt in any::<[u8; 4]>(),
        with in any::<bool>(),
    ) {
        same(&theirs::Password::new(password.clone()), |out| encode::password(password.as_bytes(), out))?;
        let response = with.then_some(&data[..]);
        let message = SASLInitialResponse::new("SCRAM-SHA-256".into(), response.map(Bytes::copy_from_slice));
        let bytes = same(&message, |out| encode::sasl_initial("SCRAM-SHA-256", response, out))?;
        let read = frontend::sasl_initial(body(&bytes)).unwrap();
        prop_assert_eq!((read.mechanism, read.response), (&b"SCRAM-SHA-256"[..], response));
        let message = theirs::SASLResponse::new(data.clone().into());
        same(&message, |out| encode::sasl_response(&data, out))?;

        let bytes = same(&theirs::Authentication::Ok, encode::authentication_ok)?;
        prop_assert_eq!(backend::authentication(body(&bytes)), Ok(Authentication::Ok));
        let bytes = same(&theirs::Authentication::CleartextPassword, encode::authentication_cleartext)?;
        prop_assert_eq!(backend::authentication(body(&bytes)), Ok(Authentication::Cleartext));
        let message = theirs::Authentication::MD5Password(salt.to_vec());
        let bytes = same(&message, |out| encode::authentication_md5(salt, out))?;
        prop_assert_eq!(backend::authentication(body(&bytes)), Ok(Authentication::Md5 { salt }));
        let message = theirs::Authentication::SASLContinue(data.clone().into());
        let bytes = same(&message, |out| encode::authentication_sasl_continue(&data, out))?;
        prop_assert_eq!(backend::authentication(body(&bytes)), Ok(Authentication::SaslContinue(&data)));
        let message = theirs::Authentication::SASLFinal(data.clone().into());
        let bytes = same(&message, |out| encode::authentication_sasl_final(&data, out))?;
        prop_assert_eq!(backend::authentication(body(&bytes)), Ok(Authentication::SaslFinal(&data)));

        let message = theirs::Authentication::SASL(texts.clone());
        let names: Vec<&str> = texts.iter().map(String::as_str).collect();
        let bytes = same(&message, |out| encode::authentication_sasl(&names, out))?;
        let Ok(Authentication::Sasl { mechanisms }) = backend::authentication(body(&bytes)) else {
            panic!("{bytes:?}")
        };
        prop_assert!(mechanisms.eq(names.iter().map(|name| name.as_bytes())));
    }

    #[test]
    fn reports(a in text(), b in text(), options in vec("[^\0]{1,8}", 0..4), minor in 0u16..4) {
        let message = theirs::ParameterStatus::new(a.clone(), b.clone());
        let bytes = same(&message, |out| encode::parameter_status(a.as_bytes(), b.as_bytes(), out))?;
        let read = backend::parameter_status(body(&bytes)).unwrap();
        prop_assert_eq!((read.name, read.value), (a.as_bytes(), b.as_bytes()));

        let message = NegotiateProtocolVersion::new(3 << 16 | i32::from(minor), options.clone());
        let bytes = same(&message, |out| encode::negotiate_version(minor, &options, out))?;
        let read = backend::negotiate(body(&bytes)).unwrap();
        prop_assert_eq!(read.minor, u32::from(minor));
        prop_assert!(read.options.eq(options.iter().map(|option| option.as_bytes())));

        let message = response::CommandComplete::new(a.clone());
        let bytes = same(&message, |out| encode::command_complete(&a, out))?;
        prop_assert_eq!(backend::command_tag(body(&bytes)), Ok(a.as_bytes()));
    }

    #[test]
    fn errors(message in text(), detail in option::of(text()), hint in option::of(text())) {
        let fields = ErrorFields {
            severity: "FATAL",
            sqlstate: "08P01",
            message: &message,
            detail: detail.as_deref(),
            hint: hint.as_deref(),
        };
        let mut expected = vec![(b'S', "FATAL"), (b'V', "FATAL"), (b'C', "08P01"), (b'M', &message)];
        expected.extend(detail.as_deref().map(|text| (b'D', text)));
        expected.extend(hint.as_deref().map(|text| (b'H', text)));
        let owned = || expected.iter().map(|&(code, text)| (code, text.to_owned())).collect();
        let bytes = same(&response::ErrorResponse::new(owned()), |out| encode::error(&fields, out))?;
        let read = Fields::new(body(&bytes));
        prop_assert!(read.eq(expected.iter().map(|&(code, text)| (code, text.as_bytes()))));
        same(&response::NoticeResponse::new(owned()), |out| encode::notice(&fields, out))?;
    }

    #[test]
    fn results(names in vec(text(), 0..4), values in vec(option::of(vec(any::<u8>(), 0..9)), 0..4)) {
        let field = |name: &String| data::FieldDescription::new(name.clone(), 0, 0, 23, 4, -1, 0);
        let message = data::RowDescription::new(names.iter().map(field).collect());
        let columns: Vec<(&str, u32)> = names.iter().map(|name| (&name[..], 23)).collect();
        same(&message, |out| encode::row_description(&columns, out))?;

        let mut row = BytesMut::new();
        for value in &values {
            let len = value.as_ref().map_or(-1, |value| value.len() as i32);
            row.extend_from_slice(&len.to_be_bytes());
            row.extend_from_slice(value.as_deref().unwrap_or_default());
        }
        let message = data::DataRow::new(row, values.len() as i16);
        let borrowed: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
        same(&message, |out| encode::data_row(&borrowed, out))?;

        let types: Vec<u32> = (0..names.len() as u32).collect();
        let message = data::ParameterDescription::new(types.clone());
        same(&message, |out| encode::parameter_description(&types, out))?;
    }
}

#[test]
fn messages_without_values() -> Result<(), TestCaseError> {
    same(&extendedquery::Sync::new(), encode::sync)?;
    same(&extendedquery::Flush::new(), encode::flush)?;
    same(&terminate::Terminate::new(), encode::terminate)?;
    same(&extendedquery::ParseComplete::new(), encode::parse_complete)?;
    same(&extendedquery::BindComplete::new(), encode::bind_complete)?;
    same(&extendedquery::CloseComplete::new(), encode::close_complete)?;
    same(&data::NoData::new(), encode::no_data)?;
    same(&response::EmptyQueryResponse::new(), encode::empty_query)?;
    let statuses = [
        (Status::Idle, response::TransactionStatus::Idle),
        (
            Status::Transaction,
            response::TransactionStatus::Transaction,
        ),
        (Status::Failed, response::TransactionStatus::Error),
    ];
    for (status, theirs) in statuses {
        let bytes = same(&response::ReadyForQuery::new(theirs), |out| {
            encode::ready(status, out)
        })?;
        prop_assert_eq!(backend::ready(body(&bytes)), Ok(status));
    }
    let bytes = same(&theirs::SslRequest::new(), encode::ssl_request)?;
    prop_assert!(matches!(
        startup::packet(&bytes),
        Ok(startup::Packet::SslRequest)
    ));
    let mut bytes = BytesMut::new();
    theirs::GssEncRequest::new().encode(&mut bytes).unwrap();
    prop_assert!(matches!(
        startup::packet(&bytes),
        Ok(startup::Packet::GssEncRequest)
    ));
    Ok(())
}
