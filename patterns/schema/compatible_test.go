package schema_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/schema"
)

// Each incompatibility is found, with its field.
func TestCompatible(t *testing.T) {
	obj := func(properties string, required ...string) string {
		names, _ := json.Marshal(append([]string{}, required...))
		return `{"type":"object","additionalProperties":false,"properties":{` + properties + `},"required":` + string(names) + `}`
	}
	line := `"line":` + obj(`"price":{"type":"integer"}`, "price")
	for name, c := range map[string]struct{ reader, writer, want string }{
		"the same":                          {obj(`"a":{"type":"string"}`, "a"), obj(`"a":{"type":"string"}`, "a"), ""},
		"a field that is new":               {obj(``), obj(`"a":{"type":"string"}`, "a"), ""},
		"a required field removed":          {obj(`"a":{"type":"string"}`, "a"), obj(``), "a may be missing, and was required"},
		"an optional field removed":         {obj(`"a":{"type":"string"}`), obj(``), ""},
		"a field that is now optional":      {obj(`"a":{"type":"string"}`, "a"), obj(`"a":{"type":"string"}`), "a may be missing, and was required"},
		"a field that is now required":      {obj(`"a":{"type":"string"}`), obj(`"a":{"type":"string"}`, "a"), ""},
		"a type changed":                    {obj(`"a":{"type":"string"}`), obj(`"a":{"type":"integer"}`), "a is integer, was string"},
		"a type that may be null":           {obj(`"a":{"type":"string"}`), obj(`"a":{"type":["string","null"]}`), "a is string or null, was string"},
		"an integer for a float":            {obj(`"a":{"type":"number"}`), obj(`"a":{"type":"integer"}`), "a is integer, was number"},
		"a type that may be anything":       {obj(`"a":{"type":"string"}`), obj(`"a":true`), "a is array or boolean or integer or null or number or object or string, was string"},
		"a nested field":                    {obj(line), obj(`"line":` + obj(`"price":{"type":"string"}`, "price")), "line.price is string, was integer"},
		"a field in a list":                 {obj(`"l":{"type":"array","items":` + obj(``, "p") + `}`), obj(`"l":{"type":"array","items":` + obj(``) + `}`), "l[].p may be missing, and was required"},
		"a field in a map":                  {obj(`"m":{"type":"object","additionalProperties":{"type":"integer"}}`), obj(`"m":{"type":"object","additionalProperties":{"type":"string"}}`), "m.* is string, was integer"},
		"a field where a map was":           {`{"type":"object","additionalProperties":{"type":"integer"}}`, obj(`"x":{"type":"string"}`), "x is string, was integer"},
		"a field where a map by number was": {`{"patternProperties":{"^[0-9]+$":{}},"additionalProperties":false}`, obj(`"x":{}`), "x is not known"},
		"a map by number where another was": {`{"type":"object","additionalProperties":{"type":"integer"}}`, `{"type":"object","patternProperties":{"^[0-9]+$":{}},"additionalProperties":false}`, "^[0-9]+$ is not known"},
		"a value that is new":               {obj(`"a":{"enum":["x"]}`), obj(`"a":{"enum":["x","y"]}`), "a may be y, which is not known"},
		"a value that is gone":              {obj(`"a":{"enum":["x","y"]}`), obj(`"a":{"enum":["x"]}`), ""},
		"values no more restricted":         {obj(`"a":{"type":"string","enum":["x"]}`), obj(`"a":{"type":"string"}`), "a may be anything, and was one of [x]"},
		"a higher maximum":                  {obj(`"a":{"maximum":9223372036854775807}`), obj(`"a":{"maximum":9223372036854775808}`), "a has maximum 9223372036854775808, had 9223372036854775807"},
		"a lower maximum":                   {obj(`"a":{"maximum":10}`), obj(`"a":{"maximum":9.5}`), ""},
		"a shorter text":                    {obj(`"a":{"minLength":2}`), obj(`"a":{"minLength":1}`), "a has minLength 1, had 2"},
		"no limit any more":                 {obj(`"a":{"maxItems":2}`), obj(`"a":{}`), "a has maxItems none, had 2"},
		"another format":                    {obj(`"a":{"format":"date"}`), obj(`"a":{"format":"date-time"}`), "a has format date-time, had date"},
		"a keyword that is not known":       {obj(`"a":{"x":1}`), obj(`"a":{"x":1}`), ""},
		"one that has changed":              {obj(`"a":{"x":1}`), obj(`"a":{"x":2}`), "a has x 2, had 1"},
		"a name that differs in case":       {obj(`"id":{}`), obj(`"id":{},"ID":{}`), "ID differs from id in case only, which Go reads as the same"},
		"the schema false":                  {obj(`"a":false`), obj(`"a":{"type":"string"}`), "a has not none, had true"},
		"a title":                           {`{"title":"x","description":"y"}`, `{"title":"z"}`, ""},
		"a reference by other means":        {`{"$ref":"other.json"}`, `{"$ref":"other.json"}`, "has $ref other.json, had other.json"},
		"a type that holds itself":          {`{"$ref":"#/$defs/N","$defs":{"N":` + obj(`"n":{"$ref":"#/$defs/N"},"v":{"type":"string"}`) + `}}`, `{"$ref":"#/$defs/M","$defs":{"M":` + obj(`"n":{"$ref":"#/$defs/M"},"v":{"type":"integer"}`) + `}}`, "v is integer, was string"},
		"an untyped type in itself":         {`{"$ref":"#/$defs/N","$defs":{"N":{"additionalProperties":{"$ref":"#/$defs/N"}}}}`, `{"properties":{}}`, ""},
		"a map where a field was":           {obj(`"a":{"type":"integer"}`), `{"type":"object","additionalProperties":{"type":"integer"}}`, "a may come in another case, which Go reads as the same"},
		"a field where a map by prefix was": {`{"patternProperties":{"^x":{"type":"string"}}}`, obj(`"x1":{"type":"integer"}`), "x1 is not known"},
		"more text beside a reference":      {`{"$ref":"#/$defs/N","minProperties":2,"$defs":{"N":{}}}`, `{"$ref":"#/$defs/N","$defs":{"N":{}}}`, "has $ref none, had #/$defs/N; has minProperties none, had 2"},
		"a list that begins otherwise":      {obj(`"l":{"items":{"type":"string"}}`), obj(`"l":{"items":{"type":"string"},"prefixItems":[{}]}`), "l[] has other prefixItems"},
		"items as they once were":           {obj(`"l":{"items":[{"type":"string"}]}`), obj(`"l":{"items":{"type":"integer"}}`), "l[] has not none, had true"},
		"two at once":                       {obj(`"a":{"type":"string"},"b":{"type":"string"}`, "a", "b"), obj(`"b":{"type":"integer"}`), "a may be missing, and was required; b may be missing, and was required; b is integer, was string"},
	} {
		t.Run(name, func(t *testing.T) {
			err := schema.Compatible([]byte(c.reader), []byte(c.writer))
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, c.want)
			}
		})
	}
	require.ErrorIs(t, schema.Compatible([]byte("{"), []byte("{}")), schema.ErrType)
	require.ErrorIs(t, schema.Compatible([]byte("{}"), []byte("{}{}")), schema.ErrType)
}

// The recorded schemas of a type in use. UPDATE_GOLDEN=1 records those of new versions.
func TestRecorded(t *testing.T) {
	_, _, three := visits(t)
	require.NoError(t, three.Verify("testdata", os.Getenv("UPDATE_GOLDEN") != ""))
}

// A version in use is changed, in a way that looks harmless.
func TestVerify(t *testing.T) {
	verify := func(v1 interface {
		Verify(string, bool) error
	}, err error) string {
		require.NoError(t, err)
		err = v1.Verify("testdata", false)
		require.ErrorIs(t, err, schema.ErrType)
		return err.Error()
	}
	type renamed struct {
		Patient string `json:"patient" jsonschema:"minLength=1"`
		Name    string `json:"fullName"`
		Minutes int    `json:"minutes"`
	}
	text := verify(schema.Define[renamed]("visit"))
	require.Contains(t, text, "schema_test.renamed cannot read what was published as version 1 of visit; make a new version: fullName may be missing, and was required; name is not known")
	require.Contains(t, text, "readers of version 1 of visit cannot read what schema_test.renamed publishes; make a new version: name may be missing, and was required; fullName is not known")
	type smaller struct {
		Patient string `json:"patient" jsonschema:"minLength=1"`
		Name    string `json:"name"`
		Minutes int8   `json:"minutes"`
	}
	text = verify(schema.Define[smaller]("visit"))
	require.Contains(t, text, "minutes has maximum 9223372036854775807, had 127")
	require.NotContains(t, text, "readers of version 1", "readers can read all that it publishes")
	type longer struct {
		VisitV1
		Notes map[string]string `json:"notes,omitempty"`
	}
	text = verify(schema.Define[longer]("visit"))
	require.Contains(t, text, "publishes; make a new version: notes is not known")
	require.NotContains(t, text, "cannot read what was published")

	t.Run("a new version is recorded with record, and never overwritten", func(t *testing.T) {
		dir := t.TempDir()
		one, _, three := visits(t)
		require.ErrorContains(t, one.Verify(dir, false), "version 1 of visit is not recorded")
		require.NoError(t, one.Verify(dir, true))
		require.NoError(t, three.Verify(dir, true))
		require.NoError(t, three.Verify(dir, false))
		file := filepath.Join(dir, "visit.v1.json")
		require.NoError(t, os.WriteFile(file, []byte(`{"type":"object"}`), 0o666))
		require.ErrorIs(t, one.Verify(dir, true), schema.ErrType)
		require.Equal(t, `{"type":"object"}`, string(must(os.ReadFile(file))))
	})
	t.Run("a recorded version must not be removed", func(t *testing.T) {
		one, two, _ := visits(t)
		require.ErrorContains(t, one.Verify("testdata", false), "version 2 of visit is recorded, but it is not among the changes")
		require.ErrorContains(t, two.Verify("testdata", false), "version 3 of visit is recorded, but it is not among the changes")
	})
	t.Run("an unchanged schema passes, whatever its keywords mean", func(t *testing.T) {
		type or struct {
			Visit *VisitV1 `json:"visit" jsonschema:"nullable"`
		}
		dir, typ := t.TempDir(), must(schema.Define[or]("or"))
		require.NoError(t, typ.Verify(dir, true))
		require.NoError(t, typ.Verify(dir, false))
	})
}
