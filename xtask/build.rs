//! Lets the command line find libmujoco where it was linked with it, so that it can be started without cargo too.

fn main() {
    println!("cargo::rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    let folder = std::env::var("MUJOCO_DYNAMIC_LINK_DIR");
    if let (Ok(_), Ok(folder)) = (std::env::var("CARGO_FEATURE_MUJOCO"), folder) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
