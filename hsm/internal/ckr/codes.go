package ckr

// Codes the worker asks for by name. The others are only ever sorted.
const (
	GeneralError          Code = 0x5
	ArgumentsBad          Code = 0x7
	AttributeReadOnly     Code = 0x10
	AttributeSensitive    Code = 0x11
	AttributeTypeInvalid  Code = 0x12
	AttributeValueInvalid Code = 0x13
	DeviceError           Code = 0x30
	EncryptedDataInvalid  Code = 0x40
	FunctionNotSupported  Code = 0x54
	MechanismInvalid      Code = 0x70
	MechanismParamInvalid Code = 0x71
	ObjectHandleInvalid   Code = 0x82
	PINIncorrect          Code = 0xA0
	PINLocked             Code = 0xA4
	SessionCount          Code = 0xB1
	SessionHandleInvalid  Code = 0xB3
	SignatureInvalid      Code = 0xC0
	TemplateInconsistent  Code = 0xD1
	UserAlreadyLoggedIn   Code = 0x100
	UserNotLoggedIn       Code = 0x101
	UserPINNotInitialized Code = 0x102
	AlreadyInitialized    Code = 0x191
)

// codes is what we know: pkcs11.md §7.2, all rows, and what random bytes add. A wrong tag is 0x40 on one
// token and 0x5 on another, where 0x5 may as well be a dead backend: that one
// stays Ambiguous.
var codes = map[Code]struct {
	class Class
	name  string
}{
	0x2: {Module, "HOST_MEMORY"},
	0x3: {Module, "SLOT_ID_INVALID"},
	0x5: {Ambiguous, "GENERAL_ERROR"},
	0x6: {Ambiguous, "FUNCTION_FAILED"},
	0x7: {Ambiguous, "ARGUMENTS_BAD"},
	0x9: {Module, "NEED_TO_CREATE_THREADS"},
	0xA: {Module, "CANT_LOCK"},

	0x10: {Capability, "ATTRIBUTE_READ_ONLY"},
	0x11: {Capability, "ATTRIBUTE_SENSITIVE"},
	0x12: {Capability, "ATTRIBUTE_TYPE_INVALID"},
	0x13: {Capability, "ATTRIBUTE_VALUE_INVALID"},
	0x1B: {Capability, "ACTION_PROHIBITED"},

	0x20: {Data, "DATA_INVALID"},
	0x21: {Data, "DATA_LEN_RANGE"},

	0x30: {Module, "DEVICE_ERROR"},
	0x31: {Busy, "DEVICE_MEMORY"},
	0x32: {Module, "DEVICE_REMOVED"},

	0x40: {Data, "ENCRYPTED_DATA_INVALID"},
	0x41: {Data, "ENCRYPTED_DATA_LEN_RANGE"},
	0x42: {Data, "AEAD_DECRYPT_FAILED"},

	0x50: {Session, "FUNCTION_CANCELED"},
	0x54: {Capability, "FUNCTION_NOT_SUPPORTED"},

	0x60: {Handle, "KEY_HANDLE_INVALID"},
	0x62: {Capability, "KEY_SIZE_RANGE"},
	0x63: {Capability, "KEY_TYPE_INCONSISTENT"},
	0x65: {Handle, "KEY_CHANGED"},
	0x68: {Capability, "KEY_FUNCTION_NOT_PERMITTED"},
	0x69: {Capability, "KEY_NOT_WRAPPABLE"},
	0x6A: {Capability, "KEY_UNEXTRACTABLE"},

	0x70: {Capability, "MECHANISM_INVALID"},
	0x71: {Capability, "MECHANISM_PARAM_INVALID"},

	0x82: {Handle, "OBJECT_HANDLE_INVALID"},

	0x90: {Session, "OPERATION_ACTIVE"},
	0x91: {Session, "OPERATION_NOT_INITIALIZED"},

	0xA0: {PIN, "PIN_INCORRECT"},
	0xA1: {PIN, "PIN_INVALID"},
	0xA2: {PIN, "PIN_LEN_RANGE"},
	0xA3: {PIN, "PIN_EXPIRED"},
	0xA4: {PIN, "PIN_LOCKED"},

	0xB0: {Session, "SESSION_CLOSED"},
	0xB1: {Busy, "SESSION_COUNT"},
	0xB3: {Session, "SESSION_HANDLE_INVALID"},
	0xB5: {Capability, "SESSION_READ_ONLY"},

	0xC0: {Data, "SIGNATURE_INVALID"},
	0xC1: {Data, "SIGNATURE_LEN_RANGE"},

	0xD0: {Capability, "TEMPLATE_INCOMPLETE"},
	0xD1: {Capability, "TEMPLATE_INCONSISTENT"},

	0xE0: {Module, "TOKEN_NOT_PRESENT"},
	0xE1: {Module, "TOKEN_NOT_RECOGNIZED"},
	0xE2: {Capability, "TOKEN_WRITE_PROTECTED"},

	0xF0: {Handle, "UNWRAPPING_KEY_HANDLE_INVALID"},

	0x100: {Ambiguous, "USER_ALREADY_LOGGED_IN"},
	0x101: {Login, "USER_NOT_LOGGED_IN"},
	0x102: {PIN, "USER_PIN_NOT_INITIALIZED"},
	0x103: {PIN, "USER_TYPE_INVALID"},
	0x104: {PIN, "USER_ANOTHER_ALREADY_LOGGED_IN"},

	0x110: {Data, "WRAPPED_KEY_INVALID"},
	0x112: {Data, "WRAPPED_KEY_LEN_RANGE"},
	0x113: {Handle, "WRAPPING_KEY_HANDLE_INVALID"},

	0x121: {Capability, "RANDOM_NO_RNG"},

	0x150: {Session, "BUFFER_TOO_SMALL"},

	0x190: {Module, "CRYPTOKI_NOT_INITIALIZED"},
	0x191: {Ambiguous, "CRYPTOKI_ALREADY_INITIALIZED"},
	0x1A0: {Module, "MUTEX_BAD"},
	0x1A1: {Module, "MUTEX_NOT_LOCKED"},

	0x201: {Busy, "TOKEN_RESOURCE_EXCEEDED"},
	0x202: {Session, "OPERATION_CANCEL_FAILED"},
}
