-- name: read
SELECT secret FROM console_secret;
