//! The oracle draws from the distribution that it computes.

use std::path::{Path, PathBuf};
use textgan_random::Key;
use textgan_synthetic::{Oracle, OracleSizes};

/// Parameters from outside of the repository.
fn published() -> Option<Oracle> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/seqgan-oracle");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(Oracle::load(&folder).unwrap())
}

fn tiny() -> Oracle {
    Oracle::random(OracleSizes { vocabulary: 5, embedding: 3, hidden: 4 }, &Key::root(3))
}

/// All sequences of a length.
fn all(vocabulary: u32, length: usize) -> Vec<Vec<u32>> {
    (0..vocabulary.pow(length as u32))
        .map(|number| {
            (0..length as u32).map(|place| number / vocabulary.pow(place) % vocabulary).collect()
        })
        .collect()
}

fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[test]
fn its_own_samples_cost_what_they_should() {
    let Some(oracle) = published() else { return };
    let (rows, scores): (Vec<_>, Vec<_>) =
        oracle.sample_scored(0..50_000, 40, &Key::root(1)).into_iter().unzip();
    assert_eq!(oracle.log_probs(&rows[..500]).unwrap(), scores[..500]);
    // The beginning of a longer sequence is a shorter one.
    for (length, expect) in [(20, 5.757), (40, 5.742)] {
        let cost = |row: &Vec<f64>| -row[..length].iter().sum::<f64>() / length as f64;
        let (found, error) = mean(scores.iter().map(cost));
        println!("length {length}: {found:.4} +- {error:.4}");
        assert!((found - expect).abs() < 0.01, "length {length}: {found}");
    }
}

#[test]
fn probabilities_of_all_sequences_sum_to_one_and_give_the_entropy() {
    let oracle = tiny();
    let sequences = all(5, 4);
    let log_probs: Vec<f64> =
        oracle.log_probs(&sequences).unwrap().iter().map(|row| row.iter().sum()).collect();
    let total: f64 = log_probs.iter().map(|log_prob| log_prob.exp()).sum();
    assert!((total - 1.0).abs() < 1e-6, "{total}");
    let entropy: f64 = log_probs.iter().map(|log_prob| -log_prob * log_prob.exp()).sum();

    let rows = oracle.sample_rows(0..20_000, 4, &Key::root(5));
    let (found, error) = mean(rows.iter().map(|row| -oracle.log_prob(row).unwrap()));
    assert!((found - entropy).abs() < 4.0 * error, "{found} +- {error}, not {entropy}");
}

#[test]
fn sequences_are_as_frequent_as_they_are_probable() {
    let oracle = tiny();
    let (count, sequences) = (50_000, all(5, 2));
    let rows = oracle.sample_rows(0..count, 2, &Key::root(6));
    let mut chi_square = 0.0;
    for sequence in &sequences {
        let expect = oracle.log_prob(sequence).unwrap().exp() * count as f64;
        let found = rows.iter().filter(|row| *row == sequence).count() as f64;
        chi_square += (found - expect).powi(2) / expect;
    }
    // 24 degrees of freedom: above 60 once in 16,000 times.
    assert!(chi_square < 60.0, "{chi_square}");
}

#[test]
fn the_next_token_has_the_distribution_that_scores_say() {
    let oracle = tiny();
    let next = oracle.next_tokens(&[4, 0]).unwrap();
    assert!((next.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    for (token, probability) in (0..).zip(&next) {
        let scores = oracle.log_probs(&[[4, 0, token]]).unwrap();
        assert!((scores[0][2].exp() - probability).abs() < 1e-12);
    }
    assert!(oracle.next_tokens(&[5]).unwrap_err().to_string().contains("0 to 4"));
}

#[test]
fn bits_depend_on_the_row_alone() {
    let sizes = OracleSizes { vocabulary: 301, embedding: 7, hidden: 9 };
    let oracle = Oracle::random(sizes, &Key::root(8));
    let key = Key::root(9);
    let draw = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let rows = oracle.sample_rows(0..37, 11, &key);
            let scores = oracle.log_probs(&rows).unwrap();
            (rows, scores)
        })
    };
    let (rows, scores) = draw(1);
    assert_eq!((&rows, &scores), (&draw(3).0, &draw(3).1));
    for row in [0, 5, 36] {
        assert_eq!(oracle.sample(11, &mut key.index(row as u64).stream()), rows[row]);
        assert_eq!(oracle.log_probs(&rows[row..=row]).unwrap()[0], scores[row]);
    }
    assert_eq!(oracle.sample_rows(30..37, 11, &key), rows[30..]);
}

#[test]
fn rows_of_any_length_are_scored() {
    let oracle = tiny();
    let rows = [vec![], vec![1], vec![1, 2, 3], vec![0; 9], vec![4, 4]];
    let scores = oracle.log_probs(&rows).unwrap();
    for (row, scores) in rows.iter().zip(&scores) {
        assert_eq!(row.len(), scores.len());
        assert_eq!(oracle.log_prob(row).unwrap(), scores.iter().sum::<f64>());
    }
    assert_eq!(oracle.log_probs::<Vec<u32>>(&[]).unwrap(), Vec::<Vec<f64>>::new());
}

/// The 15 arrays of an oracle of three tokens, two wide embeddings and one unit.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().to_path_buf();
    for (name, shape) in [("embedding", "(3, 2)"), ("wo", "(1, 3)"), ("bo", "(3,)")] {
        write(&path, name, shape, if name == "embedding" { 6 } else { 3 });
    }
    for gate in ["i", "f", "og", "c"] {
        write(&path, &format!("w{gate}"), "(2, 1)", 2);
        write(&path, &format!("u{gate}"), "(1, 1)", 1);
        write(&path, &format!("b{gate}"), "(1,)", 1);
    }
    (root, path)
}

fn write(folder: &Path, name: &str, shape: &str, values: usize) {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend((0..values).flat_map(|value| (value as f32 * 0.5 - 0.7).to_le_bytes()));
    std::fs::write(folder.join(format!("{name}.npy")), bytes).unwrap();
}

#[test]
fn a_folder_is_read_and_what_is_wrong_with_it_is_named() {
    let (_root, path) = folder();
    let oracle = Oracle::load(&path).unwrap();
    assert_eq!(oracle.sizes(), OracleSizes { vocabulary: 3, embedding: 2, hidden: 1 });
    assert_ne!(oracle.name(), Oracle::random(oracle.sizes(), &Key::root(1)).name());
    assert!((oracle.next_tokens(&[2]).unwrap().iter().sum::<f64>() - 1.0).abs() < 1e-6);

    type Spoil<'a> = &'a dyn Fn(&Path);
    let spoilers: [(Spoil<'_>, &[&str]); 5] = [
        (&|path| std::fs::remove_file(path.join("uog.npy")).unwrap(), &["uog.npy", "folder with"]),
        (
            &|path| write(path, "wc", "(1, 2)", 2),
            &["wc.npy", "[1, 2]", "[2, 1]", "from one oracle"],
        ),
        (
            &|path| write(path, "embedding", "(6,)", 6),
            &["embedding.npy", "[vocabulary, embedding]"],
        ),
        (&|path| write(path, "bi", "(0,)", 0), &["bi.npy", "no size 0"]),
        (
            &|path| std::fs::write(path.join("bo.npy"), "1 2 3").unwrap(),
            &["bo.npy", "not a NumPy file", "numpy.save"],
        ),
    ];
    for (spoil, expect) in spoilers {
        let (_root, path) = folder();
        spoil(&path);
        let message = Oracle::load(&path).unwrap_err().to_string();
        for expect in expect {
            assert!(message.contains(expect), "{message} should say {expect}");
        }
    }
    let missing = Oracle::load(Path::new("nowhere")).unwrap_err().to_string();
    assert!(missing.contains("nowhere/embedding.npy"), "{missing}");
}
