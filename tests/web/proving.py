"""People who prove that it is them, without a browser: a passkey made of arithmetic, and the codes of an app."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.http import HttpResponse
from django.test import Client
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

from tests.web.swap import by_id, page_of
from treasury.models import User

ADD, PROVE, SECOND = "/account/factors/passkeys/add/", "/account/factors/passkeys/prove/", "/account/factors/sign-in/"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
PRESENT_AND_VERIFIED = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV


class Key:
    """An authenticator of the kind that a phone or a security key holds: it signs for one address alone."""

    def __init__(self, host: str = "testserver") -> None:
        self.host = host
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.count = 0

    def create(self, options: dict[str, Any]) -> str:
        cose = ES256.from_cryptography_key(self.private.public_key())
        data = AttestedCredentialData.create(b"\0" * 16, self.id, cose)
        flags = PRESENT_AND_VERIFIED | AuthenticatorData.FLAG.AT
        seen = AttestationObject.create("none", AuthenticatorData.create(self.rp, flags, 0, data), {})
        client = self.client("webauthn.create", options)
        return self.answer(clientDataJSON=client, attestationObject=seen)

    def get(self, options: dict[str, Any]) -> str:
        self.count += 1
        seen = AuthenticatorData.create(self.rp, PRESENT_AND_VERIFIED, self.count)
        client = self.client("webauthn.get", options)
        signed = self.private.sign(bytes(seen) + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self.answer(clientDataJSON=client, authenticatorData=seen, signature=signed)

    @property
    def rp(self) -> bytes:
        return hashlib.sha256(self.host.encode()).digest()

    def client(self, what: str, options: dict[str, Any]) -> CollectedClientData:
        return CollectedClientData.create(what, options["publicKey"]["challenge"], f"https://{self.host}")

    def answer(self, **parts: bytes) -> str:
        name = websafe_encode(self.id)
        response = {part: websafe_encode(bytes(value)) for part, value in parts.items()}
        extensions: dict[str, Any] = {}
        return json.dumps(
            {
                "id": name,
                "rawId": name,
                "type": "public-key",
                "response": response,
                "clientExtensionResults": extensions,
            }
        )


def options_of(response: HttpResponse) -> dict[str, Any]:
    """What the page gives the browser to ask the passkey with."""
    (found,) = json.loads(by_id(page_of(response), "passkey-data").text_content()).values()
    return found  # type: ignore[no-any-return]


def add_passkey(client: Client, name: str = "Blue key") -> Key:
    key = Key()
    credential = key.create(options_of(client.get(ADD)))
    assert client.post(ADD, {"name": name, "credential": credential}).status_code == 302
    return key


def prove(client: Client, key: Key, onward: str = "/") -> HttpResponse:
    credential = key.get(options_of(client.get(f"{PROVE}?next={onward}")))
    return client.post(PROVE, {"next": onward, "credential": credential})  # type: ignore[return-value]


def password(client: Client, person: User) -> HttpResponse:
    return client.post("/sign-in/", {"username": person.username, "password": "practice"})  # type: ignore[return-value]


def with_passkey(person: User) -> tuple[Client, Key]:
    """Somebody who has signed in, set a passkey up and used it."""
    client = Client()
    password(client, person)
    key = add_passkey(client)
    prove(client, key)
    return client, key


def give_app(person: User) -> Authenticator:
    found: Authenticator = TOTP.activate(person, SECRET).instance
    return found


def code(steps: int = 0) -> str:
    """What the app shows now, or so many steps of 30 s later."""
    return str(format_hotp_value(hotp_value(SECRET, int(time.time()) // 30 + steps)))


def with_app(person: User) -> Client:
    """Somebody whose app's code has been used to sign in."""
    give_app(person)
    client = Client()
    password(client, person)
    assert client.post(SECOND, {"code": code()}).status_code == 302
    return client
