//! Where the image keeps the application's server.

use std::path::{Path, PathBuf};

use crate::environment::{Environment, EnvironmentError};
use crate::result::{Exit, Reason};

/// How to start the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Folder to start it in, if it matters.
    pub folder: Option<PathBuf>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// No known layout.
    #[error("no server below /app or the working directory {}; PAPERCLIP_AGENT_SERVER_ARGV can name one", .0.display())]
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
        if let Some(argv) = environment.program("PAPERCLIP_AGENT_SERVER_ARGV")? {
            return Ok(Self { argv, folder: None });
        }
        let (loader, source) = (
            "server/node_modules/tsx/dist/loader.mjs",
            "server/dist/index.js",
        );
        if image.join(loader).is_file() && image.join(source).is_file() {
            return Ok(Self {
                argv: ["node", "--import", &format!("./{loader}"), source]
                    .map(str::to_owned)
                    .to_vec(),
                folder: Some(image.to_owned()),
            });
        }
        let script = "node_modules/@paperclipai/server/dist/index.js";
        if working.join(script).is_file() {
            return Ok(Self {
                argv: ["node", script].map(str::to_owned).to_vec(),
                folder: Some(working.to_owned()),
            });
        }
        Err(LayoutError::ServerNotFound(working.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(name: &str, files: &[&str]) -> PathBuf {
        let root = std::env::temp_dir().join(format!(
            "paperclip-agent-server-{name}-{}",
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
    fn a_named_program_comes_before_the_image_and_the_image_before_the_package() {
        let image = tree(
            "image",
            &[
                "server/node_modules/tsx/dist/loader.mjs",
                "server/dist/index.js",
            ],
        );
        let package = tree(
            "package",
            &["node_modules/@paperclipai/server/dist/index.js"],
        );
        let find = |environment: &Environment, image: &Path| {
            Layout::find(environment, image, &package).unwrap()
        };
        let (none, named) = (
            Environment::default(),
            Environment::from([("PAPERCLIP_AGENT_SERVER_ARGV", r#"["serve"]"#)]),
        );
        assert_eq!(find(&named, &image).argv, ["serve"]);
        let of_image = find(&none, &image);
        assert_eq!(
            of_image.argv,
            [
                "node",
                "--import",
                "./server/node_modules/tsx/dist/loader.mjs",
                "server/dist/index.js"
            ]
        );
        assert_eq!(of_image.folder.as_deref(), Some(image.as_path()));
        let of_package = find(&none, Path::new("/nonexistent"));
        assert_eq!(
            of_package.argv,
            ["node", "node_modules/@paperclipai/server/dist/index.js"]
        );
        let error = Layout::find(&none, Path::new("/nonexistent"), Path::new("/nonexistent"));
        assert_eq!(error.unwrap_err().code(), "ServerNotFound");
        for root in [image, package] {
            fs::remove_dir_all(root).unwrap();
        }
    }
}
