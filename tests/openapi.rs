//! The OpenAPI document as an independent validator reads it.

use std::process::Command;

use crate::support::python;

#[test]
fn the_document_is_valid() {
    let Some(python) = python("openapi", "openapi_spec_validator") else { return };
    let path = std::env::temp_dir().join(format!("prism-openapi-{}.json", std::process::id()));
    std::fs::write(&path, prism_api::document().to_string()).unwrap();
    let check = "import json, sys\n\
        from openapi_spec_validator import OpenAPIV31SpecValidator\n\
        errors = list(OpenAPIV31SpecValidator(json.load(open(sys.argv[1]))).iter_errors())\n\
        [print('/'.join(map(str, error.absolute_path)), error.message[:300]) for error in errors]\n\
        print(len(errors), 'errors')";
    let output = Command::new(python).args(["-c", check]).arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "0 errors");
}
