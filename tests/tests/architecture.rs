//! The floors that ARCHITECTURE.md draws, held against what the sources import.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A module by its path in its crate; the crate's root is the empty one.
type Module = Vec<String>;

/// The modules of a crate with what each imports, without what is there for tests alone.
struct Sources {
    modules: BTreeMap<Module, BTreeSet<Module>>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

impl Sources {
    fn read(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        find(root, &mut Vec::new(), &mut files);
        let mut tests = BTreeSet::new();
        let mut found: BTreeMap<Module, Vec<Vec<String>>> = BTreeMap::new();
        let mut reexported: BTreeMap<String, Module> = BTreeMap::new();
        for (module, path) in &files {
            let source = std::fs::read_to_string(path).unwrap();
            let tokens: Vec<_> = source.parse::<TokenStream>().unwrap().into_iter().collect();
            let (children, paths) = (BTreeSet::new(), Vec::new());
            let mut reader = Reader { at: module.clone(), children, paths, tests: &mut tests };
            reader.read(&tokens);
            // `crate::Error` is wherever the root has it from.
            let names = reader.paths.iter().filter(|_| module.is_empty());
            reexported.extend(names.filter_map(|path| Some((path.last()?.clone(), path.clone()))));
            found.insert(module.clone(), reader.paths);
        }
        let is_test = |module: &Module| tests.iter().any(|test| module.starts_with(test));
        let known: BTreeSet<Module> = files.into_keys().filter(|module| !is_test(module)).collect();
        let owner = |path: &[String]| {
            let path = match (path, path.first().and_then(|name| reexported.get(name))) {
                ([_], Some(at)) => at,
                _ => path,
            };
            (0..=path.len()).rev().map(|length| path[..length].to_vec()).find(|module| known.contains(module))
        };
        let modules = known.iter().map(|module| {
            let imports = found.remove(module).unwrap_or_default();
            // What a file takes from the rooms that it is in is no arrow.
            let others = |other: &Module| !module.starts_with(other);
            (module.clone(), imports.iter().filter_map(|path| owner(path)).filter(others).collect())
        });
        Self { modules: modules.collect() }
    }

    /// The arrows between rooms, with the modules that they are between.
    fn arrows(&self, above: &[String]) -> BTreeMap<(String, String), String> {
        let room = |module: &Module| module.strip_prefix(above).and_then(|rest| rest.first().cloned());
        let mut arrows = BTreeMap::new();
        for (module, imports) in &self.modules {
            for other in imports {
                if let (Some(from), Some(to)) = (room(module), room(other))
                    && from != to
                {
                    arrows.insert((from, to), format!("{} -> {}", module.join("::"), other.join("::")));
                }
            }
        }
        arrows
    }

    /// Modules that import each other, in whatever way round.
    fn circles(&self) -> Vec<Vec<String>> {
        let mut reach = BTreeMap::new();
        for module in self.modules.keys() {
            let (mut seen, mut open) = (BTreeSet::new(), vec![module]);
            while let Some(next) = open.pop() {
                for other in &self.modules[next] {
                    if seen.insert(other.clone()) {
                        open.push(self.modules.get_key_value(other).unwrap().0);
                    }
                }
            }
            reach.insert(module.clone(), seen);
        }
        let circle = |module: &Module| {
            let others = reach[module].iter().filter(|other| reach[*other].contains(module));
            others.map(|other| other.join("::")).collect::<Vec<_>>()
        };
        let circles: BTreeSet<_> =
            self.modules.keys().map(circle).filter(|circle| !circle.is_empty()).collect();
        circles.into_iter().collect()
    }
}

fn find(directory: &Path, module: &mut Module, files: &mut BTreeMap<Module, PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            module.push(name);
            find(&path, module, files);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut module = module.clone();
            module.extend((name != "mod" && name != "lib").then_some(name));
            files.insert(module, path);
        }
    }
}

/// Reads what a file names of its own crate.
struct Reader<'a> {
    /// Where it is: the file's module, and those within it.
    at: Module,
    children: BTreeSet<String>,
    /// From the crate's root.
    paths: Vec<Vec<String>>,
    /// Modules that are there for tests alone.
    tests: &'a mut BTreeSet<Module>,
}

impl Reader<'_> {
    fn read(&mut self, tokens: &[TokenTree]) {
        let mut rest = tokens;
        let mut follows_colon = false;
        while let Some((first, after)) = rest.split_first() {
            rest = match first {
                TokenTree::Punct(hash) if hash.as_char() == '#' && is_for_tests(after) => self.skip(after),
                TokenTree::Ident(word) if word == "mod" => self.module(after),
                TokenTree::Ident(name) if !follows_colon && self.is_ours(&name.to_string(), after) => {
                    self.path(rest, Vec::new());
                    after
                }
                TokenTree::Group(group) => {
                    self.read(&inside(group));
                    after
                }
                _ => after,
            };
            follows_colon = is(first, ':');
        }
    }

    fn is_ours(&self, name: &str, after: &[TokenTree]) -> bool {
        let starts = after.first().is_some_and(|colon| is(colon, ':'));
        starts && (["crate", "super", "self"].contains(&name) || self.children.contains(name))
    }

    /// A path: names across colons, and what is in braces at its end.
    fn path(&mut self, mut tokens: &[TokenTree], mut names: Vec<String>) {
        loop {
            match tokens {
                [TokenTree::Ident(name), rest @ ..] => {
                    names.push(name.to_string());
                    match rest {
                        [one, two, rest @ ..] if is(one, ':') && is(two, ':') => tokens = rest,
                        _ => break,
                    }
                }
                [TokenTree::Group(group), ..] if group.delimiter() == Delimiter::Brace => {
                    for part in inside(group).split(|token| is(token, ',')).filter(|part| !part.is_empty()) {
                        self.path(part, names.clone());
                    }
                    return;
                }
                _ => break,
            }
        }
        self.paths.push(self.absolute(names));
    }

    fn absolute(&self, names: Vec<String>) -> Vec<String> {
        let mut at = match names[0].as_str() {
            "crate" => Vec::new(),
            _ => self.at.clone(),
        };
        for name in names {
            match name.as_str() {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                _ => at.push(name),
            }
        }
        at
    }

    /// A module that is declared, or stands here.
    fn module<'t>(&mut self, after: &'t [TokenTree]) -> &'t [TokenTree] {
        match after {
            [TokenTree::Ident(name), TokenTree::Group(body), rest @ ..] => {
                self.at.push(name.to_string());
                self.read(&inside(body));
                self.at.pop();
                rest
            }
            [TokenTree::Ident(name), rest @ ..] => {
                self.children.insert(name.to_string());
                rest
            }
            _ => after,
        }
    }

    /// Goes behind the item that an attribute for tests is of.
    fn skip<'t>(&mut self, after: &'t [TokenTree]) -> &'t [TokenTree] {
        for pair in after.windows(2) {
            if let [TokenTree::Ident(word), TokenTree::Ident(name)] = pair
                && word == "mod"
            {
                self.tests.insert(self.at.iter().cloned().chain([name.to_string()]).collect());
                break;
            }
            if is_end(&pair[0]) {
                break;
            }
        }
        after.iter().position(is_end).map_or(&[], |end| &after[end + 1..])
    }
}

fn is(token: &TokenTree, what: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == what)
}

fn is_end(token: &TokenTree) -> bool {
    is(token, ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// Whether an attribute, behind its `#`, leaves out what follows where no tests are built.
fn is_for_tests(after: &[TokenTree]) -> bool {
    let Some(TokenTree::Group(attribute)) = after.first() else { return false };
    let text = attribute.stream().to_string().replace(' ', "");
    text.starts_with("cfg(") && text.contains("test") && !text.contains("not(test")
}

/// A drawing of ARCHITECTURE.md: the floors of a folder, top first; rooms beside each other on one, and above each other
/// within the same cell (`a, b | c`: `a` stands on `b`, and `c` is beside both).
struct Drawing {
    folder: String,
    floors: Vec<Vec<Vec<String>>>,
}

fn drawings() -> Vec<Drawing> {
    let text = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let mut drawings = Vec::new();
    for block in text.split("```floors ").skip(1) {
        let mut lines = block.split("```").next().unwrap().lines();
        let folder = lines.next().unwrap().trim().to_owned();
        // What is behind two spaces is for people.
        let names = lines.map(|line| line.split("  ").next().unwrap());
        let cells = |line: &str| {
            let cells =
                line.split('|').map(|cell| cell.split(',').map(|name| name.trim().to_owned()).collect());
            cells.collect()
        };
        drawings.push(Drawing { folder, floors: names.map(cells).collect() });
    }
    drawings
}

impl Drawing {
    /// The floor, the cell and the place in it: all counted from the top.
    fn place(&self, room: &str) -> Option<(usize, usize, usize)> {
        self.floors.iter().enumerate().find_map(|(floor, cells)| {
            cells.iter().enumerate().find_map(|(cell, rooms)| {
                rooms.iter().position(|name| name == room).map(|place| (floor, cell, place))
            })
        })
    }

    fn allows(&self, from: &str, to: &str) -> bool {
        match (self.place(from), self.place(to)) {
            (Some((from, _, _)), Some((to, _, _))) if from != to => from < to,
            (Some((_, from_cell, from)), Some((_, to_cell, to))) => from_cell == to_cell && from < to,
            _ => false,
        }
    }
}

const CRATES: [&str; 4] = ["runtime/src", "macros/src", "tests/src", "tests/bench/src"];

#[test]
fn arrows_point_down() {
    let drawings = drawings();
    assert!(drawings.len() >= 3);
    for drawing in drawings {
        let root = CRATES.iter().find(|root| drawing.folder.starts_with(**root)).unwrap();
        let above: Module = Path::new(&drawing.folder[root.len()..])
            .components()
            .filter_map(|part| part.as_os_str().to_str().filter(|part| *part != "/").map(str::to_owned))
            .collect();
        let sources = Sources::read(&repository().join(root));
        let arrows = sources.arrows(&above);
        assert!(arrows.len() > 10, "{}: {arrows:?}", drawing.folder);
        let wrong: Vec<_> = arrows.iter().filter(|((from, to), _)| !drawing.allows(from, to)).collect();
        assert!(wrong.is_empty(), "{}, up or aside: {wrong:#?}", drawing.folder);
        let rooms: BTreeSet<_> = drawing.floors.iter().flatten().flatten().collect();
        let missing: Vec<_> = rooms
            .iter()
            .filter(|room| {
                !sources.modules.keys().any(|module| {
                    module.strip_prefix(&above[..]).is_some_and(|rest| rest.first() == Some(room))
                })
            })
            .collect();
        assert!(missing.is_empty(), "{}, drawn and not there: {missing:?}", drawing.folder);
    }
}

#[test]
fn no_files_import_each_other() {
    for root in CRATES {
        let circles = Sources::read(&repository().join(root)).circles();
        assert!(circles.is_empty(), "{root}: {circles:#?}");
    }
}
