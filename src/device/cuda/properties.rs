//! What the driver says of a device.

use std::ffi::CStr;

use cudarc::driver::sys;

use super::super::{DeviceProperties, embedded};
use super::check;
use crate::error::Result;

fn attribute(device: sys::CUdevice, which: sys::CUdevice_attribute) -> Result<u32> {
    let mut value = 0;
    // SAFETY: `value` is a live integer, and the device exists.
    let result = unsafe { sys::cuDeviceGetAttribute(&raw mut value, which, device) };
    check(result, "attribute")?;
    Ok(u32::try_from(value).unwrap_or(0))
}

/// What a device is.
///
/// # Errors
/// The driver refuses to say.
pub(super) fn properties_of(device: sys::CUdevice) -> Result<DeviceProperties> {
    use sys::CUdevice_attribute_enum as Attribute;
    let mut name = [0i8; 256];
    // SAFETY: the buffer has 256 bytes.
    let result = unsafe { sys::cuDeviceGetName(name.as_mut_ptr(), 256, device) };
    check(result, "cuDeviceGetName")?;
    // SAFETY: the driver ended the name with a zero byte within the buffer.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }
        .to_string_lossy()
        .into_owned();
    let mut version = 0;
    // SAFETY: `version` is a live integer.
    let result = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    check(result, "cuDriverGetVersion")?;
    let mut memory_bytes = 0;
    // SAFETY: `memory_bytes` is a live integer.
    let result = unsafe { sys::cuDeviceTotalMem_v2(&raw mut memory_bytes, device) };
    check(result, "cuDeviceTotalMem")?;
    let major = attribute(
        device,
        Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
    )?;
    let minor = attribute(
        device,
        Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
    )?;
    let kernels = if embedded::FATBINS.is_empty() {
        format!("compiled at run time for sm_{major}{minor}")
    } else {
        embedded::BUILT_FOR.to_string()
    };
    Ok(DeviceProperties {
        name,
        compute_capability: (major, minor),
        driver_version: format!("{}.{}", version / 1000, version % 1000 / 10),
        memory_bytes: memory_bytes as u64,
        memory_bytes_per_second: memory_speed(device),
        multiprocessors: attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes_per_block_max: attribute(
            device,
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )?,
        l2_bytes: u64::from(attribute(
            device,
            Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE,
        )?),
        kernels,
    })
}

/// Two words of the bus a clock, as memory of a double data rate moves them.
fn memory_speed(device: sys::CUdevice) -> Option<u64> {
    use sys::CUdevice_attribute_enum as Attribute;
    let attribute = |which| attribute(device, which).ok().map(u64::from);
    let kilohertz = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?;
    let bits = attribute(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?;
    Some(2 * 1000 * kilohertz * bits / 8).filter(|speed| *speed > 0)
}
