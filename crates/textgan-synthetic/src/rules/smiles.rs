//! Whether a SMILES string is a molecule.
//!
//! The syntax is that of OpenSMILES (James et al., 2016). Valences and aromaticity follow what RDKit
//! does when it sanitizes a molecule, as far as it concerns whether that works: no atom has more bonds
//! than its element can have, and the atoms of aromatic rings that need a double bond can be paired
//! (a perfect matching of the aromatic bonds, which is a Kekulé structure).

use std::collections::HashMap;

use petgraph::algo::{bridges, maximum_matching};
use petgraph::graph::{NodeIndex, UnGraph};
use petgraph::visit::EdgeRef;
use thiserror::Error;

/// What is wrong with a SMILES string.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SmilesFault {
    /// A molecule has an atom.
    #[error("there is no atom")]
    Empty,
    /// A character that cannot come there.
    #[error("character {}, `{found}`, cannot come here", position + 1)]
    Syntax {
        /// How many characters could be read.
        position: usize,
        /// The next one, or the end.
        found: String,
    },
    /// A ring that is opened and not closed.
    #[error("ring {0} is not closed")]
    OpenRing(u32),
    /// A ring closure between atoms that are bonded already, or of an atom with itself, or with two
    /// different bonds.
    #[error(
        "ring {0} closes onto an atom that is bonded already, or with another bond than it began"
    )]
    Ring(u32),
    /// An atom with more bonds than its element can have.
    #[error("atom {}, {symbol}, has {bonds} bonds", atom + 1)]
    Valence {
        /// Which atom, in the order of the text.
        atom: usize,
        /// Its element.
        symbol: String,
        /// The sum of the orders of its bonds, hydrogen included.
        bonds: u32,
    },
    /// An aromatic atom outside of all rings.
    #[error("atom {}, {symbol}, is aromatic but in no ring", atom + 1)]
    NotInARing {
        /// Which atom, in the order of the text.
        atom: usize,
        /// Its element.
        symbol: String,
    },
    /// Aromatic rings without alternating bonds.
    #[error("the aromatic atoms have no Kekulé structure")]
    NotKekule,
}

/// The order of a bond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Not written: aromatic between aromatic atoms of a ring, else single.
    Unsaid,
    Single,
    Double,
    Triple,
    Quadruple,
    Aromatic,
    /// `~`, which counts for nothing.
    Any,
}

struct Atom {
    symbol: String,
    aromatic: bool,
    charge: i32,
    /// Hydrogens, where brackets say how many.
    hydrogens: Option<u32>,
}

#[derive(Clone, Copy)]
struct Bond {
    ends: [usize; 2],
    order: Order,
}

#[derive(Default)]
struct Molecule {
    atoms: Vec<Atom>,
    bonds: Vec<Bond>,
    /// The bonds of each atom.
    of: Vec<Vec<usize>>,
}

/// Reads a SMILES string and says what is wrong with it.
pub fn check(text: &str) -> Result<(), SmilesFault> {
    let molecule = Reader::new(text).read()?;
    molecule.check()
}

/// Elements that need no brackets, and those that may be aromatic without.
const PLAIN: [&str; 10] = ["Cl", "Br", "B", "C", "N", "O", "P", "S", "F", "I"];
const PLAIN_AROMATIC: [&str; 6] = ["b", "c", "n", "o", "p", "s"];
const BRACKET_AROMATIC: [&str; 8] = ["se", "as", "b", "c", "n", "o", "p", "s"];

struct Reader {
    text: Vec<char>,
    at: usize,
    molecule: Molecule,
    /// The atom that the next one is bonded to, and the bond that is written between them.
    last: Option<usize>,
    bond: Option<Order>,
    branches: Vec<usize>,
    /// Ring number to the atom and bond that it was opened with.
    rings: HashMap<u32, (usize, Option<Order>)>,
}

impl Reader {
    fn new(text: &str) -> Self {
        Self {
            text: text.chars().collect(),
            at: 0,
            molecule: Molecule::default(),
            last: None,
            bond: None,
            branches: Vec::new(),
            rings: HashMap::new(),
        }
    }

    fn read(mut self) -> Result<Molecule, SmilesFault> {
        if self.text.is_empty() {
            return Err(SmilesFault::Empty);
        }
        // What may come depends on whether an atom has just been read.
        let mut after_atom = false;
        while let Some(&next) = self.text.get(self.at) {
            if self.bond.is_none() && after_atom {
                match next {
                    '(' => {
                        self.branches.extend(self.last);
                        self.at += 1;
                        // A branch begins with a bond or an atom, not with another branch.
                        self.read_bond();
                        self.read_atom()?;
                        continue;
                    }
                    ')' => {
                        self.last = Some(self.branches.pop().ok_or_else(|| self.syntax())?);
                        self.at += 1;
                        // No ring closure can follow, but another branch or an atom.
                        match self.text.get(self.at) {
                            Some(next) if next.is_ascii_digit() || *next == '%' => {
                                return Err(self.syntax());
                            }
                            _ => continue,
                        }
                    }
                    '.' => {
                        if !self.branches.is_empty() {
                            return Err(self.syntax());
                        }
                        self.at += 1;
                        self.last = None;
                        after_atom = false;
                        continue;
                    }
                    _ => {}
                }
            }
            if after_atom && self.bond.is_none() && self.read_bond() {
                continue;
            }
            if after_atom && (next.is_ascii_digit() || next == '%') {
                self.read_ring()?;
                continue;
            }
            self.read_atom()?;
            after_atom = true;
        }
        if !self.branches.is_empty() || self.bond.is_some() || !after_atom {
            return Err(self.syntax());
        }
        match self.rings.keys().min() {
            Some(&ring) => Err(SmilesFault::OpenRing(ring)),
            None => Ok(self.molecule),
        }
    }

    fn syntax(&self) -> SmilesFault {
        let found = self.text.get(self.at).map_or("the end".to_owned(), char::to_string);
        SmilesFault::Syntax { position: self.at, found }
    }

    fn read_bond(&mut self) -> bool {
        let order = match self.text.get(self.at) {
            Some('-' | '/' | '\\') => Order::Single,
            Some('=') => Order::Double,
            Some('#') => Order::Triple,
            Some('$') => Order::Quadruple,
            Some(':') => Order::Aromatic,
            Some('~') => Order::Any,
            _ => return false,
        };
        self.bond = Some(order);
        self.at += 1;
        true
    }

    fn starts_with(&self, symbol: &str) -> bool {
        self.text[self.at..].iter().copied().take(symbol.len()).eq(symbol.chars())
    }

    fn read_atom(&mut self) -> Result<(), SmilesFault> {
        let plain = |symbols: &[&'static str]| {
            symbols.iter().copied().find(|symbol| self.starts_with(symbol))
        };
        let atom = if let Some(symbol) = plain(&PLAIN) {
            self.at += symbol.len();
            Atom { symbol: symbol.to_owned(), aromatic: false, charge: 0, hydrogens: None }
        } else if let Some(symbol) = plain(&PLAIN_AROMATIC) {
            self.at += symbol.len();
            let symbol = symbol.to_uppercase();
            Atom { symbol, aromatic: true, charge: 0, hydrogens: None }
        } else if self.text.get(self.at) == Some(&'*') {
            self.at += 1;
            Atom { symbol: "*".to_owned(), aromatic: false, charge: 0, hydrogens: Some(0) }
        } else if self.text.get(self.at) == Some(&'[') {
            self.at += 1;
            self.read_bracket()?
        } else {
            return Err(self.syntax());
        };
        let new = self.molecule.atoms.len();
        self.molecule.atoms.push(atom);
        self.molecule.of.push(Vec::new());
        if let Some(last) = self.last {
            let order = self.bond.take().unwrap_or(Order::Unsaid);
            self.molecule.bond(last, new, order);
        }
        self.last = Some(new);
        Ok(())
    }

    /// `[isotope symbol chirality hydrogens charge class]`.
    fn read_bracket(&mut self) -> Result<Atom, SmilesFault> {
        self.read_number(3);
        let (symbol, aromatic) = self.read_symbol()?;
        while self.text.get(self.at) == Some(&'@') {
            self.at += 1;
        }
        let mut hydrogens = 0;
        if self.text.get(self.at) == Some(&'H') {
            self.at += 1;
            hydrogens = self.read_number(1).unwrap_or(1);
        }
        let mut charge = 0;
        if let Some(&sign @ ('+' | '-')) = self.text.get(self.at) {
            let mut signs = 0;
            while self.text.get(self.at) == Some(&sign) && signs < 4 {
                self.at += 1;
                signs += 1;
            }
            let size = if signs == 1 { self.read_number(2).map_or(1, |n| n as i32) } else { signs };
            charge = if sign == '+' { size } else { -size };
        }
        if self.text.get(self.at) == Some(&':') {
            self.at += 1;
            self.read_number(9).ok_or_else(|| self.syntax())?;
        }
        if self.text.get(self.at) != Some(&']') {
            return Err(self.syntax());
        }
        self.at += 1;
        Ok(Atom { symbol, aromatic, charge, hydrogens: Some(hydrogens) })
    }

    fn read_symbol(&mut self) -> Result<(String, bool), SmilesFault> {
        let known = |symbols: &[&'static str]| {
            symbols.iter().copied().find(|symbol| self.starts_with(symbol))
        };
        if let Some(symbol) = known(&BRACKET_AROMATIC) {
            self.at += symbol.len();
            let mut letters = symbol.chars();
            let first =
                letters.next().map_or(String::new(), |letter| letter.to_uppercase().to_string());
            return Ok((first + letters.as_str(), true));
        }
        // The longer one first: `Sc` is no `S`.
        let longest = (1..=2).rev().find_map(|length| {
            let symbol: String = self.text[self.at..].iter().take(length).collect();
            (symbol.chars().count() == length && ELEMENTS.contains(&symbol.as_str()))
                .then_some(symbol)
        });
        let symbol = longest.ok_or_else(|| self.syntax())?;
        self.at += symbol.len();
        Ok((symbol, false))
    }

    fn read_number(&mut self, digits: usize) -> Option<u32> {
        let found: String =
            self.text[self.at..].iter().take(digits).take_while(|c| c.is_ascii_digit()).collect();
        self.at += found.len();
        found.parse().ok()
    }

    fn read_ring(&mut self) -> Result<(), SmilesFault> {
        let number = if self.text[self.at] == '%' {
            self.at += 1;
            let before = self.at;
            match self.read_number(2) {
                Some(number) if self.at == before + 2 => number,
                _ => return Err(self.syntax()),
            }
        } else {
            self.read_number(1).ok_or_else(|| self.syntax())?
        };
        let (Some(atom), bond) = (self.last, self.bond.take()) else { return Err(self.syntax()) };
        match self.rings.remove(&number) {
            None => {
                self.rings.insert(number, (atom, bond));
            }
            Some((other, _)) if other == atom || self.molecule.bonded(other, atom) => {
                return Err(SmilesFault::Ring(number));
            }
            Some((other, opened)) => {
                // RDKit takes the first that is written.
                self.molecule.bond(other, atom, opened.or(bond).unwrap_or(Order::Unsaid));
            }
        }
        Ok(())
    }
}

impl Molecule {
    fn bond(&mut self, a: usize, b: usize, order: Order) {
        self.of[a].push(self.bonds.len());
        self.of[b].push(self.bonds.len());
        self.bonds.push(Bond { ends: [a, b], order });
    }

    fn bonded(&self, a: usize, b: usize) -> bool {
        self.of[a].iter().any(|&bond| self.bonds[bond].ends.contains(&b))
    }

    fn check(&self) -> Result<(), SmilesFault> {
        let graph: UnGraph<(), ()> = UnGraph::from_edges(
            self.bonds.iter().map(|bond| (bond.ends[0] as u32, bond.ends[1] as u32)),
        );
        let mut in_ring = vec![true; self.bonds.len()];
        for bridge in bridges(&graph) {
            in_ring[bridge.id().index()] = false;
        }
        let aromatic: Vec<bool> = self
            .bonds
            .iter()
            .zip(&in_ring)
            .map(|(bond, &ring)| self.is_aromatic(bond, ring))
            .collect();

        // Atoms that need one more bond, which only a neighbour in an aromatic ring can give.
        let mut wants = vec![false; self.atoms.len()];
        for (index, atom) in self.atoms.iter().enumerate() {
            let bonds = &self.of[index];
            if atom.aromatic && !bonds.iter().any(|&bond| in_ring[bond]) {
                return Err(SmilesFault::NotInARing { atom: index, symbol: atom.symbol.clone() });
            }
            let Some(valences) = atom.valences(self, index) else { continue };
            let written: u32 = bonds.iter().map(|&bond| self.bonds[bond].order.bonds()).sum();
            let sigma = written + atom.hydrogens.unwrap_or(0);
            let doubled = bonds
                .iter()
                .any(|&bond| matches!(self.bonds[bond].order, Order::Double | Order::Triple));
            let Some(valence) = valences.iter().copied().find(|&valence| valence >= sigma) else {
                let (symbol, bonds) = (atom.symbol.clone(), sigma);
                return Err(SmilesFault::Valence { atom: index, symbol, bonds });
            };
            let joined = bonds.iter().any(|&bond| aromatic[bond]);
            let satisfied = doubled && atom.symbol == "C";
            wants[index] = atom.aromatic && joined && !satisfied && valence > sigma;
            // A nitrogen that is meant as an ion has five bonds, not four and a hydrogen.
            if atom.symbol == "N" && valence == 5 && sigma + u32::from(wants[index]) < 5 {
                let (symbol, bonds) = (atom.symbol.clone(), sigma);
                return Err(SmilesFault::Valence { atom: index, symbol, bonds });
            }
        }
        let pairs = self
            .bonds
            .iter()
            .zip(&aromatic)
            .filter(|(bond, aromatic)| **aromatic && bond.ends.iter().all(|&end| wants[end]))
            .map(|(bond, _)| (bond.ends[0] as u32, bond.ends[1] as u32));
        let pairs: UnGraph<(), ()> = UnGraph::from_edges(pairs);
        let matching = maximum_matching(&pairs);
        let paired =
            |atom: usize| atom < pairs.node_count() && matching.contains_node(NodeIndex::new(atom));
        match wants.iter().enumerate().all(|(atom, &wants)| !wants || paired(atom)) {
            true => Ok(()),
            false => Err(SmilesFault::NotKekule),
        }
    }

    fn is_aromatic(&self, bond: &Bond, in_ring: bool) -> bool {
        match bond.order {
            Order::Aromatic => true,
            Order::Unsaid => in_ring && bond.ends.iter().all(|&end| self.atoms[end].aromatic),
            _ => false,
        }
    }
}

impl Order {
    /// How many bonds it is to each of its atoms, an aromatic one without its share of the ring's
    /// double bonds.
    fn bonds(self) -> u32 {
        match self {
            Self::Any => 0,
            Self::Unsaid | Self::Single | Self::Aromatic => 1,
            Self::Double => 2,
            Self::Triple => 3,
            Self::Quadruple => 4,
        }
    }
}

impl Atom {
    /// How many bonds it can have, in order; `None` for any number. An ion has those of the element
    /// with as many electrons.
    fn valences(&self, molecule: &Molecule, index: usize) -> Option<&'static [u32]> {
        // RDKit reads a nitrogen of five bonds, one of them double to oxygen or triple, as the ion that
        // is meant: nitro groups, azides and the like.
        if self.symbol == "N" && self.charge == 0 && self.hydrogens.is_none() {
            let meant = |&bond: &usize| {
                let Bond { ends, order } = molecule.bonds[bond];
                let other = &molecule.atoms[if ends[0] == index { ends[1] } else { ends[0] }];
                match order {
                    Order::Double => other.symbol == "O" && other.charge == 0,
                    Order::Triple => other.symbol == "N" && other.charge == 0,
                    _ => false,
                }
            };
            if molecule.of[index].iter().any(meant) {
                return Some(&[3, 5]);
            }
        }
        let electrons = match &*self.symbol {
            "H" => 1,
            "B" => 5,
            "C" => 6,
            "N" => 7,
            "O" => 8,
            "F" => 9,
            "Si" => 14,
            "P" => 15,
            "S" => 16,
            "Cl" => 17,
            "As" => 33,
            "Se" => 34,
            "Br" => 35,
            "I" => 53,
            _ => return None,
        };
        Some(match electrons - self.charge {
            0 | 2 | 10 | 18 | 36 | 54 => &[0],
            1 | 9 | 17 | 35 => &[1],
            53 => &[1, 3, 5],
            3 => &[1],
            4 => &[2],
            5 => &[3],
            6 | 14 | 32 => &[4],
            7 => &[3],
            15 | 33 => &[3, 5, 7],
            8 => &[2],
            16 | 34 | 52 => &[2, 4, 6],
            _ => return None,
        })
    }
}

/// Symbols that brackets may hold.
const ELEMENTS: [&str; 118] = [
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl",
    "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As",
    "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In",
    "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb",
    "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl",
    "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk",
    "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh",
    "Fl", "Mc", "Lv", "Ts", "Og",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Each judged by RDKit 2026.9.1 (`Chem.MolFromSmiles`).
    const MOLECULES: [&str; 52] = [
        "c1cccC1",
        "C1=CC=Cc1",
        "c1ccccc1c1ccccc1",
        "CN(=O)=O",
        "C=1CCCC1",
        "C=1CCC-1",
        "C.C",
        "N#N=N",
        "CN=[N+]=[N-]",
        "S(=O)(=O)=O",
        "CS(C)(C)(C)(C)C",
        "CS(C)(C)C",
        "CS(C)(C)",
        "O=S",
        "CI(C)C",
        "Cn1cccc1",
        "c1cc[nH]c1",
        "c1ccs(=O)c1",
        "c1cc2ccc1CC2",
        "c1ccc2c(c1)ccc1c2cc1",
        "C%12CC%12",
        "[CH4]",
        "[NH4+]",
        "[O-]C",
        "[OH2+]C",
        "c1c(=O)ccc1",
        "O=c1ccocc1",
        "c1ccc(=O)[nH]c1",
        "C~C",
        "c1:c:c:c:c:c1",
        "C(C)(C)(C)C",
        "C/C=C/C",
        "[C@H](N)(C)O",
        "[13CH4]",
        "[Fe]",
        "P(C)(C)(C)(C)C",
        "B(C)(C)C",
        "c1cbccc1",
        "C12CC1CC2",
        "C1CC=1C",
        "C-1CC-1",
        "c1=cc=cc=c1",
        "C1=C=C1",
        "n1cncn1C",
        "[nH]1cccc1",
        "c1c[nH+]ccc1",
        "c1cc[n+](C)cc1",
        "C$C",
        "c1ccc1",
        "s1ccs1",
        "[H][H]",
        "CN(C)(=O)C",
    ];
    const NONE: [&str; 48] = [
        "c1cccc1",
        "c1ccnc1",
        "cc",
        "Cc",
        "C1CC1C1",
        "C11",
        "C1C1",
        "CC1=CC=1",
        "",
        "C()",
        "C(C",
        "(C)C",
        "C..C",
        ".C",
        "C.",
        "C=",
        "=C",
        "C==C",
        "CN=N=N",
        "ClC(Cl)=Cl",
        "n1cccn1",
        "c1cn1",
        "o1ccoc1",
        "c1coccoc1",
        "C%1CC%1",
        "[CH5]",
        "[NH4]",
        "C(=O)(=O)C",
        "c1c(=O)cccc1",
        "c1ccc(=O)nc1",
        "CC(C)((C))C",
        "C((C))C",
        "B(C)(C)(C)C",
        "N1N1",
        "c1-cccc1",
        "c1ccccc1=O",
        "[n]1cccc1",
        "C(1)CC1",
        "C1(CC)1",
        "C1CN1=1",
        "CC(",
        "N(C)(C)(C)C",
        "Cl(C)C",
        "OO=O",
        "C[H]C",
        "c1cc2c(c1)[nH]2",
        "C=N(C)C",
        "Sc1ns(=O)c1",
    ];

    #[test]
    fn molecules_are_told_from_none() {
        let wrong: Vec<String> = MOLECULES
            .iter()
            .filter_map(|text| check(text).err().map(|fault| format!("{text}: {fault}")))
            .chain(
                NONE.iter()
                    .filter(|text| check(text).is_ok())
                    .map(|text| format!("{text}: passes")),
            )
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_fault_says_where() {
        let said = |text| check(text).unwrap_err().to_string();
        assert_eq!(said("CCx"), "character 3, `x`, cannot come here");
        assert_eq!(said("CC(C"), "character 5, `the end`, cannot come here");
        assert_eq!(said("C1CC"), "ring 1 is not closed");
        assert_eq!(said("CC(C)(C)(C)C"), "atom 2, C, has 5 bonds");
        assert_eq!(said("Cc"), "atom 2, C, is aromatic but in no ring");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged(text in r"[CNOScno1-3()=#\[\]H+\-%./FBrl]{0,40}") {
            let _ = check(&text);
        }
    }
}
