//! A venue behind TLS, and what of this machine decides whether it is trusted.

use std::process::Output;

use super::{emulate, following};

#[test]
fn a_venue_behind_tls_is_followed_by_who_trusts_its_authority() {
    let dir = tempfile::tempdir().unwrap();
    let [ca, absent] = ["ca.pem", "absent.pem"].map(|name| dir.path().join(name).display().to_string());
    let (_emulator, address) = emulate(&["--tls", &ca]);
    let doctor = |variables: &[(&str, &str)]| -> Output {
        let mut doctor = following(&["doctor"], &address, "bybit-linear");
        let venue = format!("{{ \"bybit-linear\" = \"https://{address}/bybit-linear\" }}");
        doctor.env("PRISM__FEEDS__ADDRESSES", venue).env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
        doctor.envs(variables.iter().copied()).output().unwrap()
    };
    for (variables, code, expected) in [
        (&[("PRISM__FEEDS__CA", &*ca)][..], 0, ", and 1 of "),
        (&[("SSL_CERT_FILE", &*ca)], 0, "trusted are 1 of this system's store"),
        // As in an image without a store: the client is made all the same.
        (&[("SSL_CERT_FILE", &*absent)], 1, "roots that prism carries, as this system has no store"),
        (&[("SSL_CERT_FILE", &*absent)], 1, "write the PEM file of the authority that signed it"),
        (&[("SSL_CERT_FILE", &*absent), ("PRISM__FEEDS__CA", &*ca)], 0, "correct SSL_CERT_FILE or SSL_CERT_DIR"),
        (&[("PRISM__FEEDS__CA", &*absent)], 2, "absent.pem\": No such file or directory"),
        (
            &[("HTTPS_PROXY", "ftp://ann:hunter2@proxy")],
            2,
            "HTTPS_PROXY (its value is not shown) is no address of a proxy",
        ),
        // This machine is never behind a proxy.
        (&[("PRISM__FEEDS__CA", &*ca), ("ALL_PROXY", "http://127.0.0.1:1")], 0, "directly"),
    ] {
        let output = doctor(variables);
        let said = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
        assert_eq!(output.status.code(), Some(code), "{variables:?} {said}");
        assert!(said.contains(expected) && !said.contains("hunter2"), "{variables:?} {said}");
    }
}
