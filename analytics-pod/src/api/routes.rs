//! Which paths there are and what each answers. Pure.

/// What a request may do to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            // The server leaves the body out by itself.
            "GET" | "HEAD" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    /// Whether a document comes with it.
    pub(super) const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Live,
    Ready,
    Startup,
    Health,
    Metrics,
    Docs,
    Document,
    Status,
    Config,
    ConfigDetection,
    Sources,
    Source,
    Frame,
    Models,
    Model,
}

/// One path; `{name}` stands for a name.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) target: Target,
    pub(super) methods: &'static [Method],
}

const fn route(path: &'static str, target: Target, methods: &'static [Method]) -> Route {
    Route { path, target, methods }
}

/// The path of the metrics where the configuration names no other.
pub(super) const METRICS_PATH: &str = "/metrics";

/// Every path of the server.
pub(super) const ROUTES: &[Route] = &[
    route("/livez", Target::Live, &[Method::Get]),
    route("/readyz", Target::Ready, &[Method::Get]),
    route("/startupz", Target::Startup, &[Method::Get]),
    route("/health", Target::Health, &[Method::Get]),
    route(METRICS_PATH, Target::Metrics, &[Method::Get]),
    route("/docs", Target::Docs, &[Method::Get]),
    route("/api/v1/openapi.json", Target::Document, &[Method::Get]),
    route("/api/v1/status", Target::Status, &[Method::Get]),
    route("/api/v1/config", Target::Config, &[Method::Get, Method::Post]),
    route("/api/v1/config/detection", Target::ConfigDetection, &[Method::Put]),
    route("/api/v1/sources", Target::Sources, &[Method::Get, Method::Post]),
    route("/api/v1/sources/{name}", Target::Source, &[Method::Get, Method::Put, Method::Patch, Method::Delete]),
    route("/api/v1/sources/{name}/frame.jpg", Target::Frame, &[Method::Get]),
    route("/api/v1/models", Target::Models, &[Method::Get, Method::Post]),
    route("/api/v1/models/{name}", Target::Model, &[Method::Get, Method::Put, Method::Delete]),
];

/// Whether a token is asked for, where there is one: whoever runs the machine must reach probes and metrics, and the
/// page is the program's own.
pub(super) fn is_guarded(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Endpoint {
        target: Target,
        method: Method,
        /// The name in the path; empty where it has none.
        name: &'a str,
    },
    /// The path is there for other methods.
    OtherMethods(&'static [Method]),
    Nothing,
}

/// Whether a path is another endpoint's than the metrics'.
pub(crate) fn is_taken_path(path: &str) -> bool {
    is_guarded(path) || ROUTES.iter().any(|route| route.path == path && route.target != Target::Metrics)
}

/// The route of a request; the metrics are at `metrics`.
pub(super) fn find<'a>(method: &str, path: &'a str, metrics: &str) -> Found<'a> {
    let leads_to = |route: &Route| name_in(if route.target == Target::Metrics { metrics } else { route.path }, path);
    let Some((route, name)) = ROUTES.iter().find_map(|route| Some((route, leads_to(route)?))) else {
        return Found::Nothing;
    };
    match Method::named(method).filter(|method| route.methods.contains(method)) {
        Some(method) => Found::Endpoint { target: route.target, method, name },
        None => Found::OtherMethods(route.methods),
    }
}

/// The name in `path`, if it is like `pattern`; empty where the pattern has none.
fn name_in<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once("{name}") else {
        return (pattern == path).then_some("");
    };
    let name = path.strip_prefix(before)?.strip_suffix(after)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_target_and_name() {
        let get = |path| find("GET", path, METRICS_PATH);
        let endpoint = |target, name| Found::Endpoint { target, method: Method::Get, name };
        assert_eq!(get("/livez"), endpoint(Target::Live, ""));
        assert_eq!(get("/api/v1/sources"), endpoint(Target::Sources, ""));
        assert_eq!(get("/api/v1/sources/gate.one"), endpoint(Target::Source, "gate.one"));
        assert_eq!(get("/api/v1/sources/gate/frame.jpg"), endpoint(Target::Frame, "gate"));
        assert_eq!(get("/api/v1/models/starter"), endpoint(Target::Model, "starter"));
        for path in ["", "/", "/livez/", "/api/v1/sources/", "/api/v1/sources/a/b", "/api/v1/sources//frame.jpg"] {
            assert_eq!(get(path), Found::Nothing, "{path}");
        }
    }

    #[test]
    fn metrics_are_where_the_configuration_says() {
        assert!(matches!(find("GET", "/m", "/m"), Found::Endpoint { target: Target::Metrics, .. }));
        assert_eq!(find("GET", "/metrics", "/m"), Found::Nothing);
        assert!(is_taken_path("/livez") && is_taken_path("/api/v1/metrics"));
        assert!(!is_taken_path("/metrics") && !is_taken_path("/pod/metrics"));
    }

    #[test]
    fn another_method_is_told_from_another_path() {
        assert_eq!(find("DELETE", "/livez", METRICS_PATH), Found::OtherMethods(&[Method::Get]));
        assert_eq!(find("OPTIONS", "/api/v1/sources", METRICS_PATH), Found::OtherMethods(&[Method::Get, Method::Post]));
        assert!(matches!(find("HEAD", "/metrics", METRICS_PATH), Found::Endpoint { method: Method::Get, .. }));
    }
}
