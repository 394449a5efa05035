//! Kernels compiled at run time, where build.rs found no compiler: NVRTC over the embedded
//! sources, the results kept on disk.

use std::collections::hash_map::DefaultHasher;
use std::ffi::{CStr, CString, c_char};
use std::hash::{Hash, Hasher};
use std::path::Path;

use cudarc::nvrtc::sys;

use super::embedded;
use crate::error::{Error, ErrorKind, Result};

/// True if NVRTC can be loaded.
pub(super) fn is_present() -> bool {
    // SAFETY: asking loads the library and nothing else; it has no precondition.
    unsafe { sys::is_culib_present() }
}

fn not_built(cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::KernelsNotBuilt {
        cause: cause.into(),
    })
}

/// The cubin of a module, from the cache or compiled now.
pub(super) fn cubin(
    module: &str,
    compute_capability: (u32, u32),
    cache_folder: Option<&Path>,
) -> Result<Vec<u8>> {
    if !is_present() {
        return Err(not_built(
            "they were not compiled when Pelton was built, and NVRTC was not found",
        ));
    }
    let (major, minor) = compute_capability;
    let architecture = format!("--gpu-architecture=sm_{major}{minor}");
    let options = [
        architecture.as_str(),
        "--std=c++17",
        "--device-int128",
        "--fmad=false",
        "-default-device",
    ];
    let mut digest = DefaultHasher::new();
    (embedded::SOURCES, options, version()?).hash(&mut digest);
    let name = format!("{module}-{:016x}.cubin", digest.finish());
    let cached = cache_folder.map(|folder| folder.join(name));
    if let Some(cubin) = cached.as_ref().and_then(|path| std::fs::read(path).ok()) {
        return Ok(cubin);
    }
    let cubin = compile(module, &options)?;
    if let Some(path) = cached {
        // The cache saves time; a cache that cannot be written costs it, and nothing else.
        let _uncached = store(&path, &cubin);
    }
    Ok(cubin)
}

fn store(path: &Path, cubin: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, cubin)?;
    file.persist(path)?;
    Ok(())
}

fn version() -> Result<(i32, i32)> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both pointers are to live integers.
    let result = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    check(result, "nvrtcVersion")?;
    Ok((major, minor))
}

fn check(result: sys::nvrtcResult, call: &str) -> Result<()> {
    if result == sys::nvrtcResult::NVRTC_SUCCESS {
        return Ok(());
    }
    // SAFETY: any result may be asked for.
    let text = unsafe { sys::nvrtcGetErrorString(result) };
    // SAFETY: NVRTC returns a static string for every result.
    let text = unsafe { CStr::from_ptr(text) };
    Err(not_built(format!("{call}: {}", text.to_string_lossy())))
}

/// An NVRTC program, destroyed when dropped.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program was created by `nvrtcCreateProgram` and is destroyed once.
        let _result = unsafe { sys::nvrtcDestroyProgram(&raw mut self.0) };
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| not_built("a kernel source holds a zero byte"))
}

fn compile(module: &str, options: &[&str]) -> Result<Vec<u8>> {
    let wanted = format!("{module}.cu");
    let (path, text) = embedded::SOURCES
        .iter()
        .find(|(path, _)| path.rsplit('/').next() == Some(wanted.as_str()))
        .ok_or_else(|| not_built(format!("there is no source {wanted}")))?;
    let headers: Vec<(CString, CString)> = embedded::SOURCES
        .iter()
        .filter(|(path, _)| !path.ends_with(".cu"))
        .map(|(path, text)| Ok((c_string(path)?, c_string(text)?)))
        .collect::<Result<_>>()?;
    let names: Vec<*const c_char> = headers.iter().map(|(name, _)| name.as_ptr()).collect();
    let texts: Vec<*const c_char> = headers.iter().map(|(_, text)| text.as_ptr()).collect();
    let (text, name) = (c_string(text)?, c_string(path)?);
    let count = i32::try_from(headers.len()).map_err(|_| not_built("too many headers"))?;
    let mut program = Program(std::ptr::null_mut());
    // SAFETY: `headers`, `text` and `name` outlive the call, and both arrays have `count` entries.
    let created = unsafe {
        sys::nvrtcCreateProgram(
            &raw mut program.0,
            text.as_ptr(),
            name.as_ptr(),
            count,
            texts.as_ptr(),
            names.as_ptr(),
        )
    };
    check(created, "nvrtcCreateProgram")?;
    let options: Vec<CString> = options.iter().map(|o| c_string(o)).collect::<Result<_>>()?;
    let pointers: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
    let option_count = i32::try_from(pointers.len()).map_err(|_| not_built("too many options"))?;
    // SAFETY: the program is live, and `options` outlives the call.
    let compiled = unsafe { sys::nvrtcCompileProgram(program.0, option_count, pointers.as_ptr()) };
    if compiled != sys::nvrtcResult::NVRTC_SUCCESS {
        return Err(not_built(format!(
            "NVRTC refused {path}: {}",
            log_of(&program)
        )));
    }
    let mut bytes = 0;
    // SAFETY: the program is live and compiled; `bytes` is a live integer.
    let result = unsafe { sys::nvrtcGetCUBINSize(program.0, &raw mut bytes) };
    check(result, "nvrtcGetCUBINSize")?;
    let mut cubin = vec![0u8; bytes];
    // SAFETY: `cubin` has the size that NVRTC has just given.
    let got = unsafe { sys::nvrtcGetCUBIN(program.0, cubin.as_mut_ptr().cast()) };
    check(got, "nvrtcGetCUBIN")?;
    Ok(cubin)
}

fn log_of(program: &Program) -> String {
    let mut bytes = 0;
    // SAFETY: the program is live; `bytes` is a live integer.
    let sized = unsafe { sys::nvrtcGetProgramLogSize(program.0, &raw mut bytes) };
    if sized != sys::nvrtcResult::NVRTC_SUCCESS {
        return "no log".to_string();
    }
    let mut log = vec![0u8; bytes];
    // SAFETY: `log` has the size that NVRTC has just given.
    let got = unsafe { sys::nvrtcGetProgramLog(program.0, log.as_mut_ptr().cast()) };
    if got != sys::nvrtcResult::NVRTC_SUCCESS {
        return "no log".to_string();
    }
    String::from_utf8_lossy(&log)
        .trim_end_matches('\0')
        .trim()
        .to_string()
}
