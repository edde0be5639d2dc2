//! Libraries for tests, each a file of its own: programs that load the same file twice get one library.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::{
    Machine,
    instances::{self, FakeInstances},
};

/// A library in a folder, with its description beside it.
#[derive(Clone, Debug)]
pub struct FakeLibrary {
    path: PathBuf,
}

/// Puts a library that tells of `machine` into `folder`, as `libnvidia-ml.so.1` and without the functions `lacking`, as
/// if it belonged to an older release.
pub fn install(folder: &Path, machine: &Machine, lacking: &[&str]) -> io::Result<FakeLibrary> {
    let mut library = fs::read(built()?)?;
    for function in lacking {
        hide(&mut library, function)?;
    }
    let path = folder.join("libnvidia-ml.so.1");
    let installed = FakeLibrary { path };
    installed.describe(machine)?;
    fs::write(&installed.path, library)?;
    Ok(installed)
}

/// The library that cargo has built with the program that runs, which is a test or beside one.
fn built() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let places = program.ancestors().skip(1).take(2);
    let found = places
        .flat_map(|folder| [folder.to_owned(), folder.join("deps")])
        .map(|folder| folder.join("libdrayage_fake_nvml.so"))
        .find(|path| path.exists());
    found.ok_or_else(|| {
        let text = format!("`libdrayage_fake_nvml.so` is not beside `{}`", program.display());
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

/// Gives a function another name. The loader finds names by a hash of the old one and then compares them, so it is found
/// under neither.
fn hide(library: &mut [u8], function: &str) -> io::Result<()> {
    let name: Vec<u8> = [b"\0", function.as_bytes(), b"\0"].concat();
    let places: Vec<usize> = library
        .windows(name.len())
        .enumerate()
        .filter(|(_, window)| *window == name)
        .map(|(place, _)| place)
        .collect();
    if places.is_empty() {
        return Err(io::Error::other(format!("the library has no function `{function}`")));
    }
    for place in places {
        if let Some(first) = library.get_mut(place + 1) {
            *first = b'X';
        }
    }
    Ok(())
}

impl FakeLibrary {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn description(&self) -> PathBuf {
        description_of(&self.path)
    }

    /// GPU instances and compute instances that there are.
    pub fn instances(&self) -> FakeInstances {
        instances::read(&instances::file_of(&self.description()))
    }

    /// Makes and removes instances behind the back of programs.
    pub fn set_instances(&self, instances: &FakeInstances) -> io::Result<()> {
        instances::write(&instances::file_of(&self.description()), instances)
    }

    /// The machine starts anew: all instances are gone, and their files below `root`.
    pub fn reboot(&self) -> io::Result<()> {
        let machine: Machine = serde_json::from_str(&fs::read_to_string(self.description())?)?;
        if let Some(root) = machine.root {
            for folder in ["proc/driver/nvidia/capabilities", "dev/nvidia-caps"] {
                match fs::remove_dir_all(root.join(folder)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        let instances = FakeInstances { instances: Vec::new(), ..self.instances() };
        self.set_instances(&instances)
    }

    /// Changes what it tells, also to programs that have loaded it.
    pub fn describe(&self, machine: &Machine) -> io::Result<()> {
        let file = self.description();
        let written = file.with_extension("new");
        fs::write(&written, serde_json::to_string_pretty(machine)?)?;
        fs::rename(written, file)
    }
}

/// The file with the description of a library.
pub(crate) fn description_of(library: &Path) -> PathBuf {
    let mut name = library.as_os_str().to_owned();
    name.push(".json");
    name.into()
}
