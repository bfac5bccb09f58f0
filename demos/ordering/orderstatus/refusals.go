package orderstatus

import (
	"net/http"
	"strings"
)

// inOneVoice has every refusal told as a problem, those too that come from the
// library in plain text: no such page, a method that is not for it, a stream that
// cannot be had.
func inOneVoice(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &voice{ResponseWriter: w}
		next.ServeHTTP(v, r)
		if v.status != 0 {
			reply(w, v.status, refuse(v.status, "", "%s", strings.TrimSpace(v.text.String())))
		}
	})
}

// voice holds back a refusal in plain text, and lets all else through.
type voice struct {
	http.ResponseWriter
	status int // of what is held back
	text   strings.Builder
}

func (v *voice) WriteHeader(status int) {
	if status >= 400 && strings.HasPrefix(v.Header().Get("Content-Type"), "text/plain") {
		v.status = status
		return
	}
	v.ResponseWriter.WriteHeader(status)
}

func (v *voice) Write(b []byte) (int, error) {
	if v.status != 0 {
		return v.text.Write(b)
	}
	return v.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController, by which a stream is flushed.
func (v *voice) Unwrap() http.ResponseWriter { return v.ResponseWriter }
