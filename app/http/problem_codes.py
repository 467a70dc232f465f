"""The words by which programs tell errors apart: one for each cause, with the status of its answers."""

from enum import Enum


class ProblemCode(Enum):
    """`word` is the `code` of a problem document, which stays the same. docs/api.md has the table."""

    NOT_HTTP = "not_http", 400, "the request is not valid HTTP/1.1"
    NOT_JSON = "not_json", 400, "the body is not JSON"
    BROKEN_COMPRESSION = "broken_compression", 400, "the body is not what its `Content-Encoding` says"
    CLIENT_GONE = "client_gone", 400, "the client ended the connection before the body was complete"
    BAD_REQUEST = "bad_request", 400, "the request cannot be read"
    NO_KEY = "no_key", 401, "the call needs an API key"
    UNKNOWN_KEY = "unknown_key", 401, "the API key is not known"
    OTHER_SESSION = "other_session", 401, "the browser is signed in at the console with another key than its page shows"
    NO_VISITOR = "no_visitor", 401, "a request with a key for browsers says of no visitor that it is theirs"
    WRONG_USER_TOKEN = "wrong_user_token", 401, "the user token is not one that the application has signed"
    USER_TOKEN_EXPIRED = "user_token_expired", 401, "the user token has ended; the application signs another one"
    MISSING_SCOPE = "missing_scope", 403, "the API key lacks the scope of the call"
    OTHER_USER = "other_user", 403, "a request with a key for browsers means somebody else than its visitor"
    OTHER_SITE = (
        "other_site",
        403,
        ("a page of another site used a session of the console, or would change something where no key is needed"),
    )
    NO_SUCH_PATH = "no_such_path", 404, "there is no call at this path"
    NO_SUCH_ITEM = "no_such_item", 404, "the catalogue has no such item"
    NO_SUCH_USER = "no_such_user", 404, "nothing is stored about the user"
    NO_SUCH_LINK = "no_such_link", 404, "the two ids are not linked"
    NO_SUCH_RULE = "no_such_rule", 404, "there is no such rule"
    NO_SUCH_CHANGE = "no_such_change", 404, "there is no such change of a rule"
    NO_SUCH_ATTRIBUTE = "no_such_attribute", 404, "no attribute of this name is declared"
    NO_SUCH_EVENT_TYPE = "no_such_event_type", 404, "there is no such event type to read or delete"
    NO_SUCH_EXPERIMENT = "no_such_experiment", 404, "there is no such experiment"
    NO_SUCH_VARIANT = "no_such_variant", 404, "there is no such variant"
    NO_SUCH_VERSION = "no_such_version", 404, "the model has no such version"
    NO_SUCH_ROW = "no_such_row", 404, "there is no such dead row or dead letter"
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, "the path takes other methods; `Allow` names them"
    SLOW_REQUEST = "slow_request", 408, "the head or the body of the request did not arrive in time"
    ID_TAKEN = "id_taken", 409, "an event id is taken by other content"
    TOO_MANY = "too_many", 409, "there are as many rules, attributes, event types, experiments or links as there may be"
    RULE_CHANGED = "rule_changed", 409, "the rule has changed since the change that was to be undone"
    MODEL_CHANGED = "model_changed", 409, "another version of the model serves than the one that the change is for"
    NAME_TAKEN = "name_taken", 409, "an experiment has this name, or had it before it was deleted"
    EXPERIMENT_RUNS = "experiment_runs", 409, "an experiment runs that has to end first"
    EXPERIMENT_ENDED = "experiment_ended", 409, "the experiment has ended"
    TOO_LATE = "too_late", 409, "the link is more than a day old"
    OTHER_TYPE = "other_type", 409, "the attribute is declared with another type"
    STATE_CHANGED = "state_changed", 412, "the state is not the one that `If-Match` or `If-None-Match` asks for"
    TOO_LARGE = "too_large", 413, "the body is too large, packed or unpacked"
    URL_TOO_LONG = "url_too_long", 414, "the URL is too long"
    UNKNOWN_ENCODING = "unknown_encoding", 415, "the body has a `Content-Encoding` other than gzip and zstd"
    INVALID = "invalid", 422, "a field or a parameter is not valid; `errors` names each"
    REFUSED_VALUES = "refused_values", 422, "Postgres refused the values"
    RATE_LIMITED = "rate_limited", 429, "the caller sent too many requests"
    TOO_MANY_VISITORS = "too_many_visitors", 429, "the address sent too many new visitor ids"
    TOO_MANY_WRONG_KEYS = "too_many_wrong_keys", 429, "the address sent too many wrong API keys"
    HEAD_TOO_LARGE = "head_too_large", 431, "the head of the request is too large"
    FAILED = "failed", 500, "something is wrong in the service; the log has it under the request id"
    NOT_SUPPORTED = "not_supported", 501, "a call of Gorse's API that this service does not have"
    TOO_MANY_WAITING = "too_many_waiting", 503, "too many events wait to be stored"
    SHUTTING_DOWN = "shutting_down", 503, "the process shuts down"
    NOT_STORED_IN_TIME = "not_stored_in_time", 503, "the events had no commit in time"
    UNAVAILABLE = "unavailable", 503, "Postgres, Kafka or Redis is unavailable"
    LATE = "late", 503, "there was no answer in time"
    TOO_MANY_CONNECTIONS = "too_many_connections", 503, "all connections of the process are in use"
    CHANGED_MEANWHILE = "changed_meanwhile", 503, "another request changed the same thing at the same time"
    TOO_MANY_VIEWERS = "too_many_viewers", 503, "too many people look at the console's flow"

    def __init__(self, word: str, status: int, meaning: str) -> None:
        self.word = word
        self.status = status
        self.meaning = meaning
