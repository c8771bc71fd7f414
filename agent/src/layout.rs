//! Where an image keeps the application's programs. Finds them by their files, never by a shell or a search path.

use std::path::{Path, PathBuf};

use crate::environment::{Environment, EnvironmentError};
use crate::result::{Exit, Reason};

/// What the image's own TypeScript sources are started with.
const LOADER: &str = "server/node_modules/tsx/dist/loader.mjs";

/// A program of the application.
#[derive(Debug)]
pub struct Program {
    /// What it is, for people.
    what: &'static str,
    /// Variable that names another one: its program and arguments, as a list in JSON.
    variable: &'static str,
    /// Where it is in the container image.
    in_image: &'static str,
    /// Where it is beside an installed npm package.
    in_package: &'static str,
}

/// The server.
pub const SERVER: Program = Program {
    what: "server",
    variable: "PAPERCLIP_AGENT_SERVER_ARGV",
    in_image: "server/dist/index.js",
    in_package: "node_modules/@paperclipai/server/dist/index.js",
};

/// What applies the migrations.
pub const MIGRATION: Program = Program {
    what: "migration program",
    variable: "PAPERCLIP_AGENT_MIGRATE_ARGV",
    in_image: "packages/db/src/migrate.ts",
    in_package: "node_modules/@paperclipai/db/dist/migrate.js",
};

/// How to start a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Folder to start it in, if it matters.
    pub folder: Option<PathBuf>,
    /// Its file, if one is known.
    pub file: Option<PathBuf>,
}

/// Why there is no program.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// No known layout.
    #[error("no {} below /app or the working directory {}; {} can name one", program.what, working.display(), program.variable)]
    ServerNotFound {
        /// What was looked for.
        program: &'static Program,
        /// Where.
        working: PathBuf,
    },
    /// The variable does not hold a program.
    #[error("{0}")]
    Argv(#[from] EnvironmentError),
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.variable == other.variable
    }
}

impl Eq for Program {}

impl Reason for LayoutError {
    fn code(&self) -> &'static str {
        match self {
            Self::ServerNotFound { .. } => "ServerNotFound",
            Self::Argv(error) => error.code(),
        }
    }

    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}

impl Layout {
    /// The program, looked for where containers have it. See [`Layout::find`].
    ///
    /// # Errors
    /// See there.
    pub fn of(program: &'static Program, environment: &Environment) -> Result<Self, LayoutError> {
        let working = std::env::current_dir().unwrap_or_default();
        Self::find(program, environment, Path::new("/app"), &working)
    }

    /// The program that the environment names, else the one of the container image (`image`, a workspace with
    /// TypeScript sources), else the one of the npm package below `working`.
    ///
    /// # Errors
    /// If there is none, or if the environment names none in the right form.
    pub fn find(
        program: &'static Program,
        environment: &Environment,
        image: &Path,
        working: &Path,
    ) -> Result<Self, LayoutError> {
        if let Some(argv) = environment.program(program.variable)? {
            // The last of its words that is a file: what an interpreter is given.
            let files = argv.iter().rev().map(|text| working.join(text));
            let file = files.into_iter().find(|file| file.is_file());
            return Ok(Self {
                argv,
                folder: None,
                file,
            });
        }
        let started_in = |folder: &Path, file: &str, argv: &[&str]| Self {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            folder: Some(folder.to_owned()),
            file: Some(folder.join(file)),
        };
        let (source, script) = (program.in_image, program.in_package);
        if image.join(LOADER).is_file() && image.join(source).is_file() {
            let argv = ["node", "--import", &format!("./{LOADER}"), source];
            return Ok(started_in(image, source, &argv));
        }
        if working.join(script).is_file() {
            return Ok(started_in(working, script, &["node", script]));
        }
        Err(LayoutError::ServerNotFound {
            program,
            working: working.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(name: &str, files: &[&str]) -> PathBuf {
        let id = std::process::id();
        let root = std::env::temp_dir().join(format!("paperclip-agent-layout-{name}-{id}"));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        for file in files {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        root
    }

    #[test]
    fn the_image_comes_before_the_package() {
        let nowhere = Path::new("/nonexistent");
        let none = Environment::default();
        for program in [&SERVER, &MIGRATION] {
            let image = tree("image", &[LOADER, program.in_image]);
            let package = tree("package", &[program.in_package]);

            let found = Layout::find(program, &none, &image, &package).unwrap();
            let loader = "./server/node_modules/tsx/dist/loader.mjs";
            assert_eq!(found.argv, ["node", "--import", loader, program.in_image]);
            assert_eq!(found.folder, Some(image.clone()));
            assert_eq!(found.file, Some(image.join(program.in_image)));

            let found = Layout::find(program, &none, nowhere, &package).unwrap();
            assert_eq!(found.argv, ["node", program.in_package]);
            assert_eq!(found.file, Some(package.join(program.in_package)));

            let error = Layout::find(program, &none, nowhere, nowhere).unwrap_err();
            assert_eq!(
                (error.code(), error.exit()),
                ("ServerNotFound", Exit::WrongInput)
            );
            assert!(error.to_string().contains(program.variable), "{error}");
            for root in [image, package] {
                fs::remove_dir_all(root).unwrap();
            }
        }
    }

    #[test]
    fn the_environment_comes_first_and_must_be_a_list() {
        let image = tree("argv", &[LOADER, MIGRATION.in_image, "db/migrate.js"]);
        let find = |json| {
            let environment = Environment::from([(MIGRATION.variable, json)]);
            Layout::find(&MIGRATION, &environment, &image, &image)
        };
        let found = find(r#"["node","db/migrate.js","--all"]"#).unwrap();
        assert_eq!(found.argv, ["node", "db/migrate.js", "--all"]);
        assert_eq!(
            (found.folder, found.file),
            (None, Some(image.join("db/migrate.js")))
        );
        for json in ["node migrate.js", "[]", r#"[""]"#, "[1]", r#"{"a":1}"#] {
            assert_eq!(find(json).unwrap_err().code(), "InvalidValue", "{json}");
        }
        fs::remove_dir_all(image).unwrap();
    }
}
