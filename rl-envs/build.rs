//! Lets this crate's tests and examples find libmujoco where they were linked with it. A program that uses the crate
//! needs the same lines in a build script of its own, or the folder in `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo::rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    let folder = std::env::var("MUJOCO_DYNAMIC_LINK_DIR");
    if let (Ok(_), Ok(folder)) = (std::env::var("CARGO_FEATURE_MUJOCO"), folder) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
