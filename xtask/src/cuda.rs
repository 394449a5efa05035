//! Installs the CUDA compiler, NVRTC, libclang and clang-format from their Python wheels.
//!
//! Every wheel is pinned. Left alone, pip pairs nvcc 13.0 with the newest front end and headers,
//! and an older driver may refuse what they make.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::repository::{Outcome, capture, root, run};

const CUDA_WHEELS: [(&str, &str); 6] = [
    ("nvidia-cuda-nvcc", "13.0.88"),
    ("nvidia-nvvm", "13.0.88"),
    ("nvidia-cuda-crt", "13.0.88"),
    ("nvidia-cuda-runtime", "13.0.96"),
    ("nvidia-cuda-nvrtc", "13.0.88"),
    ("nvidia-cuda-cccl", "13.0.85"),
];
const NVCC_VERSION: &str = "V13.0.88";
const CLANG_WHEELS: [(&str, &str); 1] = [("libclang", "18.1.1")];
const FORMAT_WHEELS: [(&str, &str); 1] = [("clang-format", "18.1.8")];

/// Where the toolkit's folders (`bin`, `include`, `lib`) are.
pub struct Toolkit {
    root: PathBuf,
}

impl Toolkit {
    /// The compiler.
    pub fn nvcc(&self) -> PathBuf {
        self.root.join("bin/nvcc")
    }

    /// Headers of the toolkit, `nvrtc.h` among them.
    pub fn include(&self) -> PathBuf {
        self.root.join("include")
    }

    /// Libraries of the toolkit, NVRTC among them.
    pub fn lib(&self) -> PathBuf {
        self.root.join("lib")
    }
}

/// Installs the toolkit unless the pinned one is there.
pub fn install() -> Outcome<Toolkit> {
    let folder = root().join(".cuda");
    let toolkit = Toolkit {
        root: folder.join("nvidia/cu13"),
    };
    if install_wheels(&folder, &CUDA_WHEELS)? {
        // The next build looks for nvcc again.
        fs::File::open(root().join("build.rs"))?.set_modified(std::time::SystemTime::now())?;
    }
    for program in [
        "nvcc",
        "ptxas",
        "cudafe++",
        "fatbinary",
        "nvlink",
        "../nvvm/bin/cicc",
    ] {
        make_executable(&toolkit.root.join("bin").join(program))?;
    }
    let version = capture(Command::new(toolkit.nvcc()).arg("--version"))?;
    if !version.contains(NVCC_VERSION) {
        return Err(format!(
            "{} is not {NVCC_VERSION}:\n{version}",
            toolkit.nvcc().display()
        )
        .into());
    }
    println!("nvcc {NVCC_VERSION} at {}", toolkit.nvcc().display());
    Ok(toolkit)
}

/// The folder of libclang, installed if it is not there.
pub fn libclang() -> Outcome<PathBuf> {
    let folder = root().join(".cuda/clang");
    install_wheels(&folder, &CLANG_WHEELS)?;
    Ok(folder.join("clang/native"))
}

/// The clang-format program, installed if it is not there.
pub fn clang_format() -> Outcome<PathBuf> {
    let folder = root().join(".cuda/clang-format");
    install_wheels(&folder, &FORMAT_WHEELS)?;
    let program = folder.join("clang_format/data/bin/clang-format");
    make_executable(&program)?;
    Ok(program)
}

/// Answers whether something had to be installed.
fn install_wheels(folder: &Path, wheels: &[(&str, &str)]) -> Outcome<bool> {
    let present = |(name, version): &(&str, &str)| {
        let record = format!("{}-{version}.dist-info", name.replace('-', "_"));
        folder.join(record).is_dir()
    };
    if wheels.iter().all(present) {
        return Ok(false);
    }
    let pins = wheels
        .iter()
        .map(|(name, version)| format!("{name}=={version}"));
    let pins = Vec::from_iter(pins);
    println!("installing {} into {}", pins.join(", "), folder.display());
    let mut command = Command::new("python3");
    command.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    command
        .args(["--no-deps", "--upgrade", "--target"])
        .arg(folder);
    run(command.args(&pins))?;
    Ok(true)
}

/// Some ways of unpacking a wheel lose the execute permission.
fn make_executable(program: &Path) -> Outcome {
    let mut permissions = match fs::metadata(program) {
        Ok(metadata) => metadata.permissions(),
        Err(error) => return Err(format!("{}: {error}", program.display()).into()),
    };
    if permissions.mode() & 0o111 == 0 {
        permissions.set_mode(permissions.mode() | 0o755);
        fs::set_permissions(program, permissions)?;
    }
    Ok(())
}
