package envelope

import (
	"encoding/json"
	"mime"
	"strings"
)

// open reads an event that is JSON as a whole, and returns what is in it. Version
// 1.0.2 of the NATS binding has no header to say so: a message that does not say so,
// and is no event, has no envelope.
func (w *wire) open(body []byte, sure bool) ([]byte, error) {
	var members map[string]json.RawMessage // no struct, which would read names in any case
	err := json.Unmarshal(body, &members)
	if !sure && (err != nil || members["specversion"] == nil) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, bad("body", "is no JSON object: %v", err)
	}
	fields := w.values()
	for i, name := range names[:carriage] {
		if raw := members[strings.TrimPrefix(name, prefix)]; raw != nil {
			var v string
			if json.Unmarshal(raw, &v) != nil {
				return nil, bad(name, "is %.80s, not a string", raw)
			}
			*fields[i] = v
		}
	}
	data, encoded := members["data"], members["data_base64"]
	var text string
	switch {
	case encoded != nil:
		var b []byte
		if data != nil || json.Unmarshal(encoded, &b) != nil {
			return nil, bad("data_base64", "is no base64, or not alone")
		}
		return b, nil
	case !isJSON(w.ContentType) && json.Unmarshal(data, &text) == nil:
		return []byte(text), nil
	}
	return data, nil
}

// isJSON reports whether data of that type stands in the event as it is.
func isJSON(contentType string) bool {
	t, _, _ := mime.ParseMediaType(contentType)
	return t == "" || t == "text/json" || strings.HasSuffix(t, "/json") || strings.HasSuffix(t, "+json")
}
