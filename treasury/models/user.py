"""People. A role is membership of a group; the superuser flag confers none."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """Someone who signs in. Custom from the first migration, so that later columns need no surgery."""

    class Meta:
        db_table = "treasury_user"
        verbose_name = "user"

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    @property
    def subject(self) -> str:
        """The log's word for this person."""
        return f"user:{self.username}"
