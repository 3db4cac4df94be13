//! `oubliette remnants --certificate`: what is looked for, what it is called, and what is a finding.

use std::fs;
use std::path::PathBuf;

use oubliette_proof::certificate::Certificate;

use crate::program::{Place, repository};

/// A certificate of an interaction with two contents whose sealed objects are stated to be removed, and of an order.
fn published(name: &str) -> PathBuf {
    repository().join("crates/oubliette-proof/testdata/v1").join(name)
}

fn certificate(name: &str) -> Certificate {
    Certificate::parse(&fs::read(published(name)).unwrap()).unwrap()
}

/// A data folder with nothing in it.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir_all(place.data().join("blobs")).unwrap();
    place
}

#[test]
fn a_clean_folder_is_reported_in_the_certificates_words() {
    let place = place();
    let file = published("certificate-interaction.json");
    let ran = place.run(&["remnants", "--data", "vault", "--certificate", file.to_str().unwrap()]).with_code(0);
    let own = certificate("certificate-interaction.json");
    for said in [
        format!("the certificate for the interaction {}", own.subject.id),
        "the keys were destroyed, sealed at 2026-03-01T12:00:01Z".to_owned(),
        "4 sealed objects were removed".to_owned(),
        "4 ids and 2 sealed objects".to_owned(),
        "0 sealed objects in storage, 0 references elsewhere".to_owned(),
        "Not said by this search".to_owned(),
    ] {
        assert!(ran.out.contains(&said), "{said}\n{}", ran.out);
    }
    // Its page and the receipts of an order are read, too.
    let page = published("page-interaction.html");
    let bulk = published("bulk.ndjson");
    let (page, bulk) = (page.to_str().unwrap(), bulk.to_str().unwrap());
    let ran = place.run(&["remnants", "--data", "vault", "--certificate", page, "--certificate", bulk, "--json"]);
    let told = ran.with_code(0).json();
    let certificates = told["certificates"].as_array().unwrap();
    assert_eq!(certificates.iter().map(|told| told["searched"].as_u64().unwrap()).collect::<Vec<_>>(), [6, 4]);
    assert_eq!(certificates[1]["notSearched"], 0);
}

#[test]
fn an_id_in_any_form_is_a_reference_and_no_remnant() {
    let place = place();
    let own = certificate("certificate-interaction.json");
    let id = own.subject.id;
    let also = place.join("logs");
    fs::create_dir(&also).unwrap();
    for (name, bytes) in [
        ("text", format!("… {id} …").into_bytes()),
        ("capitals", id.to_string().to_uppercase().into_bytes()),
        ("bytes", [&[7; 9], &id.0[..], &[7; 9]].concat()),
        ("hex", hex::encode(id.0).into_bytes()),
        ("order", own.erased.order.0.to_vec()),
        ("object", own.existed[0].blob.0.to_vec()),
    ] {
        fs::write(also.join(name), bytes).unwrap();
    }
    let file = published("certificate-interaction.json");
    let args = ["remnants", "--data", "vault", "--also", "logs", "--certificate", file.to_str().unwrap()];
    let told = place.run(&[&args[..], &["--json"]].concat()).with_code(0).json();
    assert_eq!(told["findings"].as_array().map(Vec::len), Some(0));
    let references = told["certificates"][0]["references"].as_array().unwrap();
    for name in ["text", "capitals", "bytes", "hex", "order", "object"] {
        let found = references.iter().find(|found| found["file"].as_str().unwrap().ends_with(name));
        assert_eq!(found.map(|found| &found["stored"]), Some(&false.into()), "{name}: {references:?}");
    }
    let told = place.run(&args).with_code(0).out;
    assert!(told.contains("referred to") && told.contains("they hold nothing of it and open nothing"), "{told}");
    // A sealed object in a copy is no mere record: it is said apart.
    assert!(told.contains("lies also in") && told.contains("1 sealed objects, or records of them, outside"), "{told}");
    assert!(told.contains("copies outside are kept as long as you keep them"), "{told}");
    for found in references {
        let beyond = found["file"].as_str().unwrap().ends_with("object");
        assert_eq!(found["beyond"], beyond, "{found}");
    }
    fs::remove_dir_all(&also).unwrap();
    fs::create_dir(&also).unwrap();
    fs::write(also.join("copy"), own.existed[0].blob.0).unwrap();
    let told = place.run(&args).with_code(0).out;
    assert!(told.contains("lies also in") && !told.contains("hold nothing of it"), "{told}");
}

#[test]
fn a_sealed_object_that_is_stated_to_be_removed_and_is_there_is_a_finding() {
    let place = place();
    let own = certificate("certificate-interaction.json");
    let stored = [&[3; 56], &own.existed[1].blob.0[..], &[9; 500]].concat();
    fs::create_dir(place.data().join("blobs/f")).unwrap();
    fs::write(place.data().join("blobs/f/left"), stored).unwrap();
    let file = published("certificate-interaction.json");
    let args = ["remnants", "--data", "vault", "--certificate", file.to_str().unwrap()];
    let told = place.run(&args).with_code(7).out;
    assert!(told.contains("still stored") && told.contains("byte 56") && told.contains("BUT"), "{told}");
    let told = place.run(&[&args[..], &["--json"]].concat()).with_code(7).json();
    assert_eq!(told["certificates"][0]["contradicted"], true);

    // In a file that small objects share it may be what a removal left, until the space is given back.
    fs::create_dir(place.data().join("blobs/s")).unwrap();
    fs::rename(place.data().join("blobs/f/left"), place.data().join("blobs/s/left")).unwrap();
    let told = place.run(&args).with_code(0).out;
    assert!(told.contains("still stored") && told.contains("given back later"), "{told}");
    fs::rename(place.data().join("blobs/s/left"), place.data().join("blobs/f/left")).unwrap();

    // The same file, by a certificate that states nothing of a removal: worth knowing, and no contradiction.
    let text = fs::read_to_string(&file).unwrap();
    let from = text.find("\"removed\":").unwrap();
    let to = text.find("\"seal\":").unwrap();
    fs::write(place.join("less.json"), format!("{}\"removed\":null,{}", &text[..from], &text[to..])).unwrap();
    let told = place.run(&["remnants", "--data", "vault", "--certificate", "less.json"]).with_code(0).out;
    assert!(told.contains("still stored") && told.contains("without keys they are closed"), "{told}");
}

#[test]
fn the_reference_that_a_certificate_tells_is_searched_as_a_text() {
    let place = place();
    let own = certificate("certificate-interaction.json");
    fs::create_dir(place.join("logs")).unwrap();
    fs::write(place.join("logs/log"), own.reference.unwrap()).unwrap();
    let file = published("certificate-interaction.json");
    let args = ["remnants", "--data", "vault", "--also", "logs", "--certificate", file.to_str().unwrap()];
    let told = place.run(&args).with_code(7).out;
    assert!(told.contains("1 remnants"), "{told}");
}

#[test]
fn what_is_no_certificate_and_what_is_too_much_is_told() {
    let place = place();
    fs::write(place.join("no.json"), "{}\n").unwrap();
    let ran = place.run(&["remnants", "--data", "vault", "--certificate", "no.json"]).with_code(1);
    assert!(ran.err.contains("no.json") && ran.err.contains("canonical JSON"), "{}", ran.err);
    place.run(&["remnants", "--data", "vault", "--certificate", "absent.json"]).with_code(1);

    // More receipts than one search takes: as many as fit, and the rest is counted.
    let bulk = fs::read_to_string(published("bulk.ndjson")).unwrap();
    let (first, rest) = bulk.split_once('\n').unwrap();
    let line = rest.lines().next().unwrap();
    let id = &line[line.find("\"id\":\"").unwrap() + 6..][..36];
    let mut many = format!("{}\n", first.replace("\"items\":3", "\"items\":1500"));
    for number in 0..1_500 {
        many += &line.replace(id, &format!("00000000-0000-4000-8000-{number:012x}"));
        many.push('\n');
    }
    fs::write(place.join("many.ndjson"), many).unwrap();
    let told =
        place.run(&["remnants", "--data", "vault", "--certificate", "many.ndjson", "--json"]).with_code(7).json();
    let told = &told["certificates"][0];
    let (searched, left) = (told["searched"].as_u64().unwrap(), told["notSearched"].as_u64().unwrap());
    assert!(searched > 900 && left > 400 && searched + left == 1_501, "{searched} {left}");
}
