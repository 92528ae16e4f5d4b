fn main() {
    let lib = std::fs::canonicalize(format!("{}/lib", std::env::var("LIBTORCH").unwrap())).unwrap();
    println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags,-rpath,{}", lib.display());
}
