package envelope

import (
	"bytes"
	"encoding/json"
	"mime"
	"strings"
	"unicode/utf8"
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
	if err := exact(body); err != nil {
		return nil, err
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

// exact refuses what readers of JSON would read differently: they take the first or
// the last of two members of one name, and put anything in place of what is no UTF-8.
func exact(object []byte) error {
	if !utf8.Valid(object) {
		return bad("body", "is no UTF-8")
	}
	dec, seen := json.NewDecoder(bytes.NewReader(object)), map[json.Token]bool{}
	_, err := dec.Token() // the brace
	for err == nil && dec.More() {
		name, _ := dec.Token()
		if seen[name] {
			return bad("body", "has %.80q more than once", name)
		}
		seen[name], err = true, dec.Decode(new(json.RawMessage))
	}
	return err
}

// isJSON reports whether data of that type stands in the event as it is.
func isJSON(contentType string) bool {
	t, _, _ := mime.ParseMediaType(contentType)
	return t == "" || strings.HasSuffix(t, "/json") || strings.HasSuffix(t, "+json")
}
