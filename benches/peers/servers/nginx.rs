//! nginx with the links in a `map`.

use super::{OPEN_FILES, Peer, Server, Site, free_port, installed, version};
use crate::launch::on_core;
use anyhow::Result;
use std::fs;

pub(super) fn start(site: &Site<'_>) -> Result<Server> {
    let program = installed("nginx")?;
    let port = free_port()?;
    let prefix = site.file("nginx");
    fs::create_dir_all(&prefix)?;
    site.links.write_nginx_map(&prefix.join("links.map"))?;
    let config = prefix.join("nginx.conf");
    fs::write(&config, configuration(port, site.links.len()))?;

    let mut command = on_core(site.core, &program)?;
    command.arg("-p").arg(&prefix).arg("-c").arg(&config).arg("-e").arg(prefix.join("error.log"));
    let version = version(&program, "-v");
    let version = version.trim_start_matches("nginx version: ").to_owned();
    Server::start(Peer::Nginx, version, port, command, site)?.with_forked_worker()
}

/// One bucket a link, and buckets with room for the longest chain that happens then. nginx tries only the last
/// thousand table sizes below the maximum, hence the margin.
fn configuration(port: u16, links: usize) -> String {
    let buckets = links.max(10_000) + 1_001;
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile {OPEN_FILES};
error_log error.log error;
pid nginx.pid;
events {{
    worker_connections 16384;
}}
http {{
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map_hash_max_size {buckets};
    map_hash_bucket_size 512;
    map $uri $target {{
        include links.map;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=16384;
        location / {{
            if ($target = \"\") {{
                return 404;
            }}
            return 302 $target;
        }}
    }}
}}
"
    )
}
