package envelope

import (
	"bytes"
	"encoding/json"
	"mime"
	"strings"
	"unicode/utf8"
)

// readBody reads an event in structured mode, and returns its payload. Version 1.0.2
// of the NATS binding has no header for this mode. So a message without the header
// that is not an event has no envelope.
func (w *encoded) readBody(body []byte, structured bool) ([]byte, error) {
	var members map[string]json.RawMessage // a struct would accept names in any case
	err := json.Unmarshal(body, &members)
	if !structured && (err != nil || members["specversion"] == nil) {
		return nil, ErrNoEnvelope
	}
	if err != nil {
		return nil, badAttribute("body", "is not a JSON object: %v", err)
	}
	if err := checkObject(body); err != nil {
		return nil, err
	}
	fields := w.fields()
	for i, name := range names[:firstNotAttr] {
		raw := members[strings.TrimPrefix(name, prefix)]
		if raw == nil {
			continue
		}
		var v string
		if json.Unmarshal(raw, &v) != nil {
			return nil, badAttribute(name, "is %.80s, not a string", raw)
		}
		*fields[i] = v
	}
	data, base64 := members["data"], members["data_base64"]
	if base64 != nil {
		var b []byte
		if data != nil || json.Unmarshal(base64, &b) != nil {
			return nil, badAttribute("data_base64", "is not base64, or data exists too")
		}
		return b, nil
	}
	var text string
	if !isJSON(w.ContentType) && json.Unmarshal(data, &text) == nil {
		return []byte(text), nil
	}
	return data, nil
}

// checkObject refuses an object that JSON parsers read in different ways: with two
// members of one name, or bytes that are not UTF-8.
func checkObject(object []byte) error {
	if !utf8.Valid(object) {
		return badAttribute("body", "is not UTF-8")
	}
	dec, seen := json.NewDecoder(bytes.NewReader(object)), map[json.Token]bool{}
	_, err := dec.Token() // the brace
	for err == nil && dec.More() {
		name, _ := dec.Token() // an error is returned by Decode
		if seen[name] {
			return badAttribute("body", "has %.80q more than once", name)
		}
		seen[name], err = true, dec.Decode(new(json.RawMessage))
	}
	return err
}

// isJSON reports whether data of this media type is a JSON value in the event.
func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err != nil && t == "" || strings.HasSuffix(t, "/json") || strings.HasSuffix(t, "+json")
}
