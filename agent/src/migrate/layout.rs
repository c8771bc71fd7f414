//! Where the image keeps the application's migration program, and the files that it applies.

use std::path::{Path, PathBuf};

use crate::environment::{Environment, EnvironmentError};
use crate::result::{Exit, Reason};

/// How to start the migration program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Folder to start it in, if it matters.
    pub folder: Option<PathBuf>,
    /// Folder with the migrations as SQL files, if it is known.
    pub migrations: Option<PathBuf>,
}

/// Why there is no migration program.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// No known layout.
    #[error("no migration program below /app or the working directory {}; PAPERCLIP_AGENT_MIGRATE_ARGV can name one", .0.display())]
    ServerNotFound(PathBuf),
    /// The variable does not hold a program.
    #[error("{0}")]
    Argv(#[from] EnvironmentError),
}

impl Reason for LayoutError {
    fn code(&self) -> &'static str {
        match self {
            Self::ServerNotFound(_) => "ServerNotFound",
            Self::Argv(error) => error.code(),
        }
    }

    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}

impl Layout {
    /// The program that the environment names, else the one of the container image (`image`, a workspace with
    /// TypeScript sources), else the one of the npm package below `working`.
    pub fn find(
        environment: &Environment,
        image: &Path,
        working: &Path,
    ) -> Result<Self, LayoutError> {
        if let Some(argv) = environment.program("PAPERCLIP_AGENT_MIGRATE_ARGV")? {
            let migrations = argv
                .iter()
                .rev()
                .find_map(|text| migrations_of(&working.join(text)));
            return Ok(Self {
                argv,
                folder: None,
                migrations,
            });
        }
        let (loader, source) = (
            "server/node_modules/tsx/dist/loader.mjs",
            "packages/db/src/migrate.ts",
        );
        if image.join(loader).is_file() && image.join(source).is_file() {
            return Ok(Self {
                argv: ["node", "--import", &format!("./{loader}"), source]
                    .map(str::to_owned)
                    .to_vec(),
                folder: Some(image.to_owned()),
                migrations: migrations_of(&image.join(source)),
            });
        }
        let script = "node_modules/@paperclipai/db/dist/migrate.js";
        if working.join(script).is_file() {
            return Ok(Self {
                argv: ["node", script].map(str::to_owned).to_vec(),
                folder: Some(working.to_owned()),
                migrations: migrations_of(&working.join(script)),
            });
        }
        Err(LayoutError::ServerNotFound(working.to_owned()))
    }
}

/// The migrations lie beside the program, in every layout.
fn migrations_of(script: &Path) -> Option<PathBuf> {
    if !script.is_file() {
        return None;
    }
    Some(script.parent()?.join("migrations")).filter(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(name: &str, files: &[&str]) -> PathBuf {
        let root = std::env::temp_dir().join(format!(
            "paperclip-agent-layout-{name}-{}",
            std::process::id()
        ));
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
        let image = tree(
            "image",
            &[
                "server/node_modules/tsx/dist/loader.mjs",
                "packages/db/src/migrate.ts",
                "packages/db/src/migrations/0000_a.sql",
            ],
        );
        let package = tree(
            "package",
            &[
                "node_modules/@paperclipai/db/dist/migrate.js",
                "node_modules/@paperclipai/db/dist/migrations/0000_a.sql",
            ],
        );
        let nowhere = tree("nowhere", &[]);
        let environment = Environment::default();

        let found = Layout::find(&environment, &image, &package).unwrap();
        assert_eq!(
            found.argv,
            [
                "node",
                "--import",
                "./server/node_modules/tsx/dist/loader.mjs",
                "packages/db/src/migrate.ts"
            ]
        );
        assert_eq!(found.folder, Some(image.clone()));
        assert_eq!(
            found.migrations,
            Some(image.join("packages/db/src/migrations"))
        );

        let found = Layout::find(&environment, &nowhere, &package).unwrap();
        assert_eq!(
            found.argv,
            ["node", "node_modules/@paperclipai/db/dist/migrate.js"]
        );
        assert_eq!(
            found.migrations,
            Some(package.join("node_modules/@paperclipai/db/dist/migrations"))
        );

        let error = Layout::find(&environment, &nowhere, &nowhere).unwrap_err();
        assert_eq!(
            (error.code(), error.exit()),
            ("ServerNotFound", Exit::WrongInput)
        );
    }

    #[test]
    fn the_environment_comes_first_and_must_be_a_list() {
        let working = tree("argv", &["db/migrate.js", "db/migrations/0000_a.sql"]);
        let find = |json| {
            Layout::find(
                &Environment::from([("PAPERCLIP_AGENT_MIGRATE_ARGV", json)]),
                &working,
                &working,
            )
        };
        let found = find(r#"["node","db/migrate.js","--all"]"#).unwrap();
        assert_eq!(found.argv, ["node", "db/migrate.js", "--all"]);
        assert_eq!(found.migrations, Some(working.join("db/migrations")));
        for json in ["node migrate.js", "[]", r#"[""]"#, "[1]", r#"{"a":1}"#] {
            assert_eq!(find(json).unwrap_err().code(), "InvalidValue", "{json}");
        }
    }
}
