fn main() {
    let lib = std::fs::canonicalize(format!("{}/lib", std::env::var("LIBTORCH").unwrap())).unwrap();
    println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags,-rpath,{}", lib.display());
    println!("cargo::rustc-env=MEDFSAD_CODE_HASH=dev");
    println!("cargo::rustc-env=MEDFSAD_GIT_REVISION=dev");
    println!("cargo::rerun-if-changed=src/build.rs");
}
