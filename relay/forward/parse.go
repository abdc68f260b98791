package forward

import "bytes"

// parseRequest reads a whole request head (RFC 9112 §3) as headEnd delimited it.
func (h *head) parseRequest(raw []byte, l *Limits) error {
	h.reset(raw)
	lf := bytes.IndexByte(raw, '\n')
	h.line = lf + 1
	if err := h.parseRequestLine(raw[:lf-1], l); err != nil {
		return err
	}
	if err := h.parseFields(l.HeaderFields); err != nil {
		return err
	}
	return h.checkRequest()
}

func (h *head) parseRequestLine(line []byte, l *Limits) error {
	sp := bytes.IndexByte(line, ' ')
	if sp <= 0 || len(line) < sp+len(" HTTP/1.1") {
		return errStartLine
	}
	version := line[len(line)-len(" HTTP/1.1"):]
	if string(version[:8]) != " HTTP/1." || version[8] != '1' && version[8] != '0' {
		return errVersion
	}
	h.minor = version[8]
	h.method = line[:sp]
	if sp+1 > len(line)-len(version) {
		return errStartLine
	}
	h.target = line[sp+1 : len(line)-len(version)]
	for _, c := range h.method {
		if !token[c] {
			return errStartLine
		}
	}
	if len(h.target) > l.TargetBytes {
		return errTargetTooLong
	}
	return checkTarget(h.method, h.target)
}

// checkTarget accepts origin form, absolute form, and the asterisk of OPTIONS (RFC 9112 §3.2).
// CONNECT has authority form only, and this is no tunnel to anywhere.
func checkTarget(method, target []byte) error {
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return errTarget
		}
	}
	switch {
	case len(target) == 0, string(method) == "CONNECT":
		return errTarget
	case target[0] == '/':
		return nil
	case string(target) == "*" && string(method) == "OPTIONS":
		return nil
	case len(target) > 7 && is(target[:7], "http://"), len(target) > 8 && is(target[:8], "https://"):
		return nil
	}
	return errTarget
}

func (h *head) checkRequest() error {
	if h.hosts > 1 || h.hosts == 0 && h.minor == '1' {
		return errHost
	}
	if h.hosts == 1 && !cleanHost(h.host) {
		return errHost
	}
	if h.minor == '0' {
		h.upgrades, h.expects = false, false
	}
	if h.upgrades && h.upgradesToHTTP2() {
		h.upgrades = false
	}
	return nil
}

// upgradesToHTTP2 reports a cleartext upgrade to HTTP/2: behind it the gateway would see nothing of the
// requests, so it is not passed on and the request stays HTTP/1.1 (RFC 9110 §7.8 allows ignoring it).
func (h *head) upgradesToHTTP2() bool {
	for i := range h.fields {
		if f := &h.fields[i]; f.kind == upgrade && lists(h.val(f), "h2c") {
			return true
		}
	}
	return false
}

// persistent reports whether the peer wants to keep the connection (RFC 9112 §9.3).
func (h *head) persistent() bool {
	return !h.close && (h.minor == '1' || h.keep)
}

// idempotent reports whether sending the request twice means sending it once (RFC 9110 §9.2.2).
func (h *head) idempotent() bool {
	switch string(h.method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

func (h *head) isHead() bool { return string(h.method) == "HEAD" }

// parseReply reads a whole reply head (RFC 9112 §4) as headEnd delimited it.
func (h *head) parseReply(raw []byte) error {
	h.reset(raw)
	lf := bytes.IndexByte(raw, '\n')
	h.line = lf + 1
	line := raw[:lf-1]
	if len(line) < len("HTTP/1.1 200") || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
		return errStartLine
	}
	if h.minor = line[7]; h.minor != '1' && h.minor != '0' {
		return errVersion
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return errStartLine
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 || len(line) > 12 && line[12] != ' ' || !cleanValue(line[9:]) {
		return errStartLine
	}
	return h.parseFields(maxReplyFields)
}

// maxReplyFields bounds the header lines of a reply; its bytes are bounded by UpstreamOptions.HeaderBytes.
const maxReplyFields = 2048
