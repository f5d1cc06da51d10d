//! Where built binaries lie: one directory per project, version and fingerprint, never changed once
//! a binary is in it, and one directory of links per set. Two runs do not collide: the second waits.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::recipe::Recipe;
use super::set::ComponentSet;
use crate::checkout;

pub(crate) struct Cache {
    root: PathBuf,
}

/// Released when dropped, by the kernel also when we are killed.
#[must_use]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Cache {
    pub(crate) fn open() -> Result<Self> {
        Ok(Self { root: checkout::cache_directory()?.join("components") })
    }

    /// Where the binary of a recipe belongs.
    pub(crate) fn binary(&self, recipe: &Recipe) -> PathBuf {
        self.root.join("built").join(&recipe.built_in).join(&recipe.name)
    }

    /// The directory with links to all binaries of a set; its name tells every fingerprint in it.
    pub(crate) fn set_directory(&self, set: &ComponentSet) -> PathBuf {
        let mut prints: Vec<_> =
            set.recipes.iter().filter_map(|recipe| recipe.built_in.rsplit('-').next()).collect();
        prints.dedup();
        self.root.join("sets").join(format!("{}-{}", set.name, prints.join("-")))
    }

    /// Waits until no other run builds.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let path = self.root.join("lock");
        create_directory(&self.root)?;
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("another run builds components: waiting for its lock on {}", path.display());
                file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(Lock(file))
    }
}

/// Makes the set's directory of links, or finishes a half-made one.
pub(crate) fn link_set(directory: &Path, recipes: &[Recipe]) -> Result<()> {
    create_directory(directory)?;
    for recipe in recipes {
        let link = directory.join(&recipe.name);
        // Relative, so that the cache can be moved or mounted elsewhere.
        let target = Path::new("../../built").join(&recipe.built_in).join(&recipe.name);
        if fs::read_link(&link).is_ok_and(|existing| existing == target) {
            continue;
        }
        symlink(&target, &link).with_context(|| format!("cannot create the link {}", link.display()))?;
    }
    Ok(())
}
/// Whether every link of the set is there and leads to what was built.
pub(crate) fn is_complete(directory: &Path, recipes: &[Recipe]) -> bool {
    recipes.iter().all(|recipe| directory.join(&recipe.name).exists())
}

/// Puts copies of a set's binaries into a directory of the user's choice.
pub(crate) fn copy_out(set: &Path, output: &Path) -> Result<()> {
    create_directory(output)?;
    for name in super::names(set)? {
        let (source, target) = (set.join(&name), output.join(&name));
        let incoming = output.join(format!(".{name}.{}", std::process::id()));
        // By way of a rename, because a binary that runs cannot be written over.
        fs::copy(&source, &incoming)
            .and_then(|_| fs::rename(&incoming, &target))
            .with_context(|| format!("cannot copy {} to {}", source.display(), target.display()))?;
    }
    Ok(())
}

pub(crate) fn create_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create the directory {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(name: &str, built_in: &str) -> Recipe {
        Recipe {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            folder: PathBuf::new(),
            package: String::new(),
            linker_flags: String::new(),
            tags: "",
            built_in: built_in.to_owned(),
            copied_from: "",
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a fixture in a temporary directory")]
    fn publish(cache: &Cache, recipe: &Recipe, content: &str) {
        let place = cache.binary(recipe);
        create_directory(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }

    #[test]
    fn a_set_leads_to_the_binaries_of_its_own_fingerprints() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { root: directory.path().into() };
        let kept = ComponentSet {
            title: String::new(),
            name: "1.37.2".to_owned(),
            recipes: vec![recipe("etcd", "etcd-3.7.3-aaaa"), recipe("kubectl", "kubernetes-1.37.2-bbbb")],
            minimum_go: String::new(),
        };
        let set = cache.set_directory(&kept);
        let recipes = kept.recipes;
        assert!(set.to_string_lossy().ends_with("sets/1.37.2-aaaa-bbbb"));
        publish(&cache, &recipes[0], "an etcd");
        publish(&cache, &recipes[1], "a kubectl");
        link_set(&set, &recipes[..1]).unwrap();
        assert!(!is_complete(&set, &recipes));
        link_set(&set, &recipes).unwrap();
        assert!(is_complete(&set, &recipes));
        assert_eq!(fs::read_to_string(set.join("etcd")).unwrap(), "an etcd");
        assert_eq!(fs::read_to_string(set.join("kubectl")).unwrap(), "a kubectl");

        let output = directory.path().join("output");
        copy_out(&set, &output).unwrap();
        copy_out(&set, &output).unwrap();
        assert_eq!(super::super::names(&output).unwrap(), ["etcd", "kubectl"]);
        assert!(fs::symlink_metadata(output.join("etcd")).unwrap().is_file());
        fs::remove_file(cache.binary(&recipes[0])).unwrap();
        assert!(!is_complete(&set, &recipes), "a link to nothing is no binary");
    }

    #[test]
    fn the_lock_keeps_others_out_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { root: directory.path().join("components") };
        let lock = cache.lock().unwrap();
        let other = File::create(cache.root.join("lock")).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        other.try_lock().unwrap();
    }
}
