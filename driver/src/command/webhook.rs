//! `dray-driver webhook`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use drayage_driver::webhook::{CertificateFiles, WebhookSettings, serve};
use tokio::sync::watch;

use super::{LogFormat, log};

#[derive(Args, Debug)]
pub(super) struct Webhook {
    /// Name of the driver whose configuration is looked at
    #[arg(long, env = "DRIVER_NAME", default_value = "fake.drayage.dev")]
    driver_name: String,
    /// Where to listen
    #[arg(long, env = "WEBHOOK_ADDRESS", value_name = "ADDRESS", default_value = "[::]:8443")]
    address: SocketAddr,
    /// The server's certificate, with those that lead to its authority, as PEM
    #[arg(long, env = "TLS_CERTIFICATE", value_name = "FILE", default_value = "/etc/drayage-tls/tls.crt")]
    tls_certificate: PathBuf,
    /// The private key of the certificate, as PEM
    #[arg(long, env = "TLS_KEY", value_name = "FILE", default_value = "/etc/drayage-tls/tls.key")]
    tls_key: PathBuf,
    /// Seconds between two looks at these files
    #[arg(long, env = "RELOAD_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    reload_seconds: u64,
    /// How messages look
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

/// Serves until a signal comes.
pub(super) fn run(options: &Webhook) -> Result<(), Box<dyn std::error::Error>> {
    let settings = WebhookSettings {
        driver: options.driver_name.clone(),
        address: options.address,
        files: CertificateFiles {
            certificate: options.tls_certificate.clone(),
            key: options.tls_key.clone(),
        },
        reload: Duration::from_secs(options.reload_seconds),
    };
    let (stop, stopped) = watch::channel(false);
    ctrlc::set_handler(move || {
        stop.send_replace(true);
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(serve(settings, stopped, log(options.log_format)))?)
}
