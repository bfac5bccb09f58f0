package schema_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/schema"
)

// What each reader does with the messages of each writer.
func TestVersions(t *testing.T) {
	one, two, three := visits(t)
	h1, b1, err := one.Encode(VisitV1{"p-1", "Ann Lee", 20})
	require.NoError(t, err)
	h2, b2, err := two.Encode(VisitV2{"p-1", "Ann Lee", 20, "7"})
	require.NoError(t, err)
	h3, b3, err := three.Encode(VisitV3{Patient: "p-1", Given: "Ann", Family: "Lee", Minutes: 20, Urgency: "high"})
	require.NoError(t, err)
	require.Equal(t, schema.Format{Name: "visit", Version: 2, Since: 1}, two.Format())
	require.Equal(t, schema.Format{Name: "visit", Version: 3, Since: 3}, three.Format())

	t.Run("a v1 reader reads v2 and ignores the unknown field", func(t *testing.T) {
		v, err := one.Decode(h2, b2)
		require.NoError(t, err)
		require.Equal(t, VisitV1{"p-1", "Ann Lee", 20}, v)
	})
	t.Run("a v1 or v2 reader refuses v3, a breaking change", func(t *testing.T) {
		_, err := one.Decode(h3, b3)
		require.ErrorIs(t, err, schema.ErrVersion)
		require.ErrorContains(t, err, "version 3 needs a reader of version 3, this reader has version 1")
		_, err = two.Decode(h3, b3)
		require.ErrorIs(t, err, schema.ErrVersion)
	})
	t.Run("a v3 reader upcasts v1 step by step", func(t *testing.T) {
		v, err := three.Decode(h1, b1)
		require.NoError(t, err)
		require.Equal(t, VisitV3{Patient: "p-1", Given: "Ann", Family: "Lee", Minutes: 20, Room: "reception", Urgency: "low"}, v)
		v, err = three.Decode(h2, b2)
		require.NoError(t, err)
		require.Equal(t, "7", v.Room)
	})
	t.Run("a failed upcast is refused, with its step", func(t *testing.T) {
		h, b, err := one.Encode(VisitV1{"p-1", "Cher", 20})
		require.NoError(t, err)
		_, err = three.Decode(h, b)
		require.ErrorIs(t, err, schema.ErrUpcast)
		require.ErrorContains(t, err, `from version 2 to 3: "Cher" has no family name`)
	})
}

func TestDecodeRefuses(t *testing.T) {
	one, _, three := visits(t)
	good := `{"patient":"p-1","name":"Ann Lee","minutes":20}`
	for name, c := range map[string]struct {
		msg  *nats.Msg
		want error
		text string
	}{
		"no headers":                    {&nats.Msg{Data: []byte(good)}, schema.ErrFormat, "use Encode"},
		"another content type":          {&nats.Msg{Header: nats.Header{"Content-Type": {"text/xml"}}, Data: []byte(good)}, schema.ErrFormat, "text/xml"},
		"version zero":                  {as("visit", 0, 0, good), schema.ErrFormat, "version"},
		"since after its version":       {as("visit", 1, 2, good), schema.ErrFormat, "since"},
		"another type":                  {as("invoice", 1, 1, good), schema.ErrName, `"invoice", want visit`},
		"a version that is too new":     {as("visit", 9, 9, good), schema.ErrVersion, "9"},
		"no JSON":                       {as("visit", 1, 1, `{"patient":`), schema.ErrSchema, "not JSON"},
		"JSON and more":                 {as("visit", 1, 1, good+good), schema.ErrSchema, "not JSON"},
		"empty":                         {as("visit", 1, 1, ``), schema.ErrSchema, "not JSON"},
		"null":                          {as("visit", 1, 1, `null`), schema.ErrSchema, "got null, want object"},
		"a field missing":               {as("visit", 1, 1, `{"patient":"p-1","minutes":20}`), schema.ErrSchema, "missing property 'name'"},
		"a field of another type":       {as("visit", 1, 1, `{"patient":"p-1","name":"Ann","minutes":"20"}`), schema.ErrSchema, "minutes: got string, want integer"},
		"a field unknown":               {as("visit", 1, 1, `{"patient":"p-1","name":"Ann","minutes":20,"naem":"x"}`), schema.ErrSchema, "naem"},
		"a field of another case":       {as("visit", 1, 1, `{"patient":"p-1","Name":"Ann","minutes":20}`), schema.ErrSchema, "Name"},
		"too short":                     {as("visit", 1, 1, `{"patient":"","name":"Ann","minutes":20}`), schema.ErrSchema, "patient: minLength"},
		"an integer too large":          {as("visit", 1, 1, `{"patient":"p-1","name":"Ann","minutes":9223372036854775808}`), schema.ErrSchema, "minutes: maximum"},
		"an integer with a point":       {as("visit", 1, 1, `{"patient":"p-1","name":"Ann","minutes":20.0}`), schema.ErrSchema, "minutes"},
		"a name twice":                  {as("visit", 1, 1, `{"patient":"","patient":"p-1","name":"Ann: \\\"x","minutes":20}`), schema.ErrSchema, "a name comes twice in an object"},
		"a number with a long exponent": {as("visit", 1, 1, `{"patient":"p-1","name":"Ann","minutes":1e999999}`), schema.ErrSchema, "a number has an exponent of 6 digits"},
		"another case, from later":      {as("visit", 7, 1, `{"patient":"p-1","name":"Ann","minutes":20,"Minutes":5}`), schema.ErrSchema, "'Minutes'"},
		"an incompatible newer version": {as("visit", 7, 1, `{"patient":"p-1"}`), schema.ErrSchema, "missing properties 'name', 'minutes'"},
		"a new field in an old format":  {as("visit", 1, 1, `{"patient":"p-1","name":"Ann","minutes":20,"room":"7"}`), schema.ErrSchema, "room"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := one.Decode(c.msg.Header, c.msg.Data)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.text)
		})
	}
	v, err := one.Decode(as("visit", 1, 1, good).Header, []byte(good))
	require.NoError(t, err)
	require.Equal(t, 20, v.Minutes)
	_, err = three.Decode(as("visit", 3, 3, good).Header, []byte(good))
	require.ErrorContains(t, err, "missing properties 'given', 'family', 'urgency'")
}

func TestEncodeRefuses(t *testing.T) {
	_, _, three := visits(t)
	_, _, err := three.Encode(VisitV3{Patient: "p-1", Given: "Ann", Family: "Lee", Urgency: "none"})
	require.ErrorIs(t, err, schema.ErrSchema)
	require.ErrorContains(t, err, "urgency: value must be one of 'low', 'high'")
	type list struct {
		Names []string `json:"names"`
	}
	names, err := schema.Define[list]("list")
	require.NoError(t, err)
	_, _, err = names.Encode(list{})
	require.ErrorContains(t, err, "names: got null, want array", "a nil slice without omitempty")
	type mail struct {
		To string `json:"to" jsonschema:"format=email"`
	}
	mails, err := schema.Define[mail]("mail")
	require.NoError(t, err)
	_, _, err = mails.Encode(mail{"somebody"})
	require.ErrorContains(t, err, "to: 'somebody' is not valid email")
	type odd struct {
		F any `json:"f"`
	}
	odds, err := schema.Define[odd]("odd")
	require.NoError(t, err)
	_, _, err = odds.Encode(odd{func() {}})
	require.ErrorIs(t, err, schema.ErrSchema)
}

func TestDefine(t *testing.T) {
	for name, c := range map[string]struct {
		define func() error
		want   error
		text   string
	}{
		"a name that is no token": {func() error { _, err := schema.Define[VisitV1]("a.b"); return err }, schema.ErrID, "use 1 to 64"},
		"not a struct":            {func() error { _, err := schema.Define[int]("n"); return err }, schema.ErrType, "int is not a struct"},
		"changes out of order": {func() error {
			_, err := schema.Define[VisitV3]("visit", schema.Replace(twoToThree), schema.Extend(oneToTwo))
			return err
		}, schema.ErrType, "the change to version 3 of visit makes a schema_test.VisitV2, want schema_test.VisitV3"},
		"an Extend that breaks readers": {func() error {
			_, err := schema.Define[VisitV3]("visit", schema.Extend(oneToTwo), schema.Extend(twoToThree))
			return err
		}, schema.ErrType, "version 3 of visit breaks readers of version 2; use Replace for a breaking change: name may be missing, and was required"},
		"a change without a function": {func() error {
			_, err := schema.Define[VisitV2]("visit", schema.Extend[VisitV1, VisitV2](nil))
			return err
		}, schema.ErrType, "the change to version 2 of visit has no upcast function"},
		"a field that is no data": {func() error {
			_, err := schema.Define[struct{ F func() }]("f")
			return err
		}, schema.ErrType, "func() has no schema"},
		"a map by small numbers": {func() error {
			_, err := schema.Define[struct{ M []map[int8]string }]("m")
			return err
		}, schema.ErrType, "map[int8]string has no schema"},
		"a tag that is no schema": {func() error {
			type bad struct {
				A string `json:"a" jsonschema:"pattern=("`
			}
			_, err := schema.Define[bad]("bad")
			return err
		}, schema.ErrType, "version 1 of bad"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.define()
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.text)
		})
	}

	// v2 removes a field, v3 has it again with another type: each step is compatible.
	type a struct {
		Room int `json:"room,omitempty"`
	}
	type b struct{}
	type c struct {
		Room string `json:"room,omitempty"`
	}
	ab := func(a) (b, error) { return b{}, nil }
	bc := func(b) (c, error) { return c{}, nil }
	_, err := schema.Define[c]("visit", schema.Extend(ab), schema.Extend(bc))
	require.ErrorContains(t, err, "version 3 of visit breaks readers of version 1; use Replace for a breaking change: room is string, was integer")
	var found schema.Incompatibilities
	require.True(t, errors.As(err, &found))
	require.Len(t, found, 1)
}
