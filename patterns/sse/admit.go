package sse

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// admit returns the subject for a request, or the code and reason of a refusal. A page
// cannot forge Host, Origin and Sec-Fetch-Site: the browser sets them.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (subject string, code int, reason string) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	origin := r.Header.Get("Origin")
	listed := slices.Contains(s.cfg.Origins, origin)
	from, err := url.Parse(origin)
	sameOrigin := origin == "" || err == nil && strings.EqualFold(from.Host, r.Host)
	switch {
	case !slices.ContainsFunc(s.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, strings.Trim(host, "[]")) }):
		return "", http.StatusMisdirectedRequest, strconv.QuoteToASCII(host) + " is not a name of this server"
	case !listed && (!sameOrigin || r.Header.Get("Sec-Fetch-Site") == "cross-site"):
		return "", http.StatusForbidden, "pages of another origin may not read this"
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		return "", http.StatusMethodNotAllowed, "use GET"
	case !accepts(r.Header.Values("Accept")):
		return "", http.StatusNotAcceptable, "this is text/event-stream"
	}
	subject, err = s.route(r)
	if err == nil && !isSubset(subject, s.subject) {
		err = fmt.Errorf("%.80q is not served here", subject)
	}
	if err != nil {
		return "", http.StatusBadRequest, err.Error()
	}
	if listed {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Vary", "Origin")
	}
	return subject, 0, ""
}

// lastEventID returns the sequence in Last-Event-ID, and whether the request has one.
func lastEventID(r *http.Request) (seq uint64, ok bool, err error) {
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		return 0, false, nil
	}
	seq, err = strconv.ParseUint(id, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("Last-Event-ID %.40q is not a sequence; leave it out", id)
	}
	return seq, true, nil
}

// accepts reports whether the values of Accept allow text/event-stream.
func accepts(values []string) bool {
	for accept := range strings.SplitSeq(strings.Join(values, ","), ",") {
		kind, params, err := mime.ParseMediaType(accept)
		if err != nil || !slices.Contains([]string{"text/event-stream", "text/*", "*/*"}, kind) {
			continue
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err != nil || q > 0 {
			return true
		}
	}
	return len(values) == 0
}
